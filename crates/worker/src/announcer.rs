//! Announces what becomes of jobs and batches, as CloudEvents in their JSON format (cloudevents.io, version 1.0).

use std::{sync::Arc, time::Duration};

use job::Job;
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
        let Some((topic, data)) = described(kind) else { return true };
        let announcement = self.announcement(job, lane, trace, topic, data);
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

    fn announcement(
        &self,
        job: &Job,
        lane: Lane,
        trace: &str,
        topic: &str,
        mut data: Value,
    ) -> Announcement {
        let Job { id, batch, source, output, .. } = job;
        let source = source.shown();
        for (key, value) in [
            ("job", id.as_str()),
            ("batch", batch.as_str()),
            ("source", &*source),
            ("output", output),
            ("lane", lane.as_str()),
            ("worker", &self.worker),
        ] {
            data[key] = value.into();
        }
        CloudEvent {
            topic,
            // The same end has the same id, however often it is announced.
            id: format!("{id}.{topic}"),
            source: &job.records,
            subject: id,
            time: now(),
            trace,
            data,
        }
        .announcement()
    }
}

/// A CloudEvent. `id` and `source` together identify it.
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
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": format!("scriptorium.{topic}"),
            "subject": subject,
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        });
        if !trace.is_empty() {
            event["traceparent"] = trace.into();
        }
        Announcement {
            topic: topic.to_owned(),
            content_type: CONTENT_TYPE.to_owned(),
            body: event.to_string().into(),
        }
    }
}

/// Returns the topic and the data of an end that is announced.
fn described(kind: &JobEventKind) -> Option<(&'static str, Value)> {
    Some(match kind {
        JobEventKind::Done(done) => (
            "job.done",
            json!({
                "transcript": done.transcript,
                "up_to_date": done.up_to_date,
                "audio_seconds": done.audio_seconds,
                "cpu_seconds": done.cpu_seconds,
                "model": done.model,
            }),
        ),
        JobEventKind::DoneBefore => ("job.done", json!({ "up_to_date": true })),
        JobEventKind::Failed { failure, attempts, .. } => (
            "job.failed",
            json!({
                "code": failure.code.as_str(),
                "message": failure.message,
                "remedy": failure.code.remedy(),
                "attempts": attempts,
            }),
        ),
        JobEventKind::Cancelled => ("job.cancelled", json!({})),
        _ => return None,
    })
}
