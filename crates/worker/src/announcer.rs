//! Announces what becomes of jobs and batches.

use std::{sync::Arc, time::Duration};

use job::{EndedJob, Event, Format, Job, JobCancelled, JobDone, JobFailed, Work};
use queue::{Announcement, Lane, Queue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{delays, events::JobEventKind, now};

/// Content type of one CloudEvent in JSON.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Whether the ends of jobs and batches are announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Announcements {
    #[default]
    Off,
    /// They are, unless the broker is in the way.
    Sent,
    /// The broker has taken the announcement before the job is acknowledged, so each end is announced at
    /// least once.
    Confirmed,
}

/// Announces the ends of jobs.
pub(crate) struct Announcer {
    queue: Arc<dyn Queue>,
    mode: Announcements,
    worker: String,
    interrupt: CancellationToken,
}

impl Announcer {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        mode: Announcements,
        worker: String,
        interrupt: CancellationToken,
    ) -> Self {
        Self { queue, mode, worker, interrupt }
    }

    /// Announces how a job ended. Returns whether its message may be acknowledged: where announcements
    /// must be confirmed, it may not if the worker is interrupted before.
    pub(crate) async fn announce(
        &self,
        job: &Job,
        lane: Lane,
        trace: &str,
        kind: &JobEventKind,
    ) -> bool {
        if self.mode == Announcements::Off {
            return true;
        }
        let Some((topic, data)) = described(kind, self.ended(job, lane)) else { return true };
        let announcement = announcement(job, trace, topic, data);
        let mut delays = delays(MIN_DELAY, MAX_DELAY);
        loop {
            let Err(error) = self.queue.announce(announcement.clone()).await else { return true };
            let error = errors::Chain(&error).to_string();
            tracing::warn!(error, "cannot announce the end of the job");
            if self.mode == Announcements::Sent {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY)) => {}
                () = self.interrupt.cancelled() => return false,
            }
        }
    }

    fn ended(&self, job: &Job, lane: Lane) -> EndedJob {
        let Job { id, batch, source, output, .. } = job.clone();
        let (lane, worker) = (lane.to_string(), self.worker.clone());
        EndedJob { job: id, batch, source: source.to_string(), output, lane, worker }
    }
}

fn announcement(job: &Job, trace: &str, topic: &str, data: Value) -> Announcement {
    CloudEvent {
        topic,
        // The same end has the same id, however often it is announced.
        id: format!("{}.{topic}", job.key()),
        source: &job.batch.as_ref().map_or_else(|| job.output.clone(), |_| job.records_prefix()),
        subject: &job.id,
        time: now(),
        trace,
        data,
    }
    .announcement()
}

/// An event that is announced. `id` and `source` together identify it.
#[derive(Debug)]
pub struct CloudEvent<'a> {
    /// The event's type is this after `scriptorium.`.
    pub topic: &'a str,
    pub id: String,
    /// Prefix of the batch's records.
    pub source: &'a str,
    /// Id of the job or the batch.
    pub subject: &'a str,
    /// In RFC 3339.
    pub time: String,
    /// The trace that it belongs to, or empty.
    pub trace: &'a str,
    pub data: Value,
}

impl CloudEvent<'_> {
    /// Returns the announcement of the event.
    pub fn announcement(self) -> Announcement {
        let Self { topic, id, source, subject, time, trace, data } = self;
        let event = Event {
            specversion: "1.0".to_owned(),
            id,
            source: source.to_owned(),
            kind: format!("scriptorium.{topic}"),
            subject: subject.to_owned(),
            time,
            datacontenttype: "application/json".to_owned(),
            traceparent: (!trace.is_empty()).then(|| trace.to_owned()),
            data,
        };
        Announcement {
            topic: topic.to_owned(),
            content_type: CONTENT_TYPE.to_owned(),
            // Texts and numbers can always be represented in JSON.
            body: serde_json::to_vec(&event).unwrap_or_default().into(),
        }
    }
}

/// Returns the topic and the data of an end that is announced.
fn described(kind: &JobEventKind, job: EndedJob) -> Option<(&'static str, Value)> {
    let transcript = format!("{}.{}", job.output, Format::Json.extension());
    Some(match kind {
        JobEventKind::Done(done) => {
            let (audio_seconds, cpu_seconds) = (done.audio_seconds, done.cpu_seconds);
            let work = Work { audio_seconds, cpu_seconds, model: done.model.clone() };
            let (up_to_date, work) = (done.up_to_date, Some(work));
            ("job.done", json!(JobDone { job, transcript, up_to_date, work }))
        }
        JobEventKind::DoneBefore => {
            ("job.done", json!(JobDone { job, transcript, up_to_date: true, work: None }))
        }
        JobEventKind::Failed { failure, attempts, .. } => {
            let (code, message, attempts) = (failure.code, failure.message.clone(), *attempts);
            let remedy = code.remedy().to_owned();
            ("job.failed", json!(JobFailed { job, code, message, remedy, attempts }))
        }
        JobEventKind::Cancelled => ("job.cancelled", json!(JobCancelled { job })),
        _ => return None,
    })
}
