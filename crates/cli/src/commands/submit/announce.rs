//! What is published of a submission when all of its jobs are: the watch that has workers tell of the end
//! of the batch, and the event that it was submitted.

use job::{Batch, BatchSubmitted, Submission, Watch};
use ledger::BatchLedger;
use queue::{Message, Queue};
use serde_json::json;
use time::OffsetDateTime;
use worker::CloudEvent;

use super::run::Ran;

/// Topic of the event.
const TOPIC: &str = "batch.submitted";

pub(super) struct Announcements<'a> {
    pub(super) queue: &'a dyn Queue,
    pub(super) batch: &'a Batch,
    pub(super) events: worker::Announcements,
}

impl Announcements<'_> {
    /// Publishes what is to be published of one submission. A second call has no further effect on those
    /// who are told: ids are the same.
    ///
    /// # Errors
    ///
    /// The broker does not take it.
    pub(super) async fn publish(
        &self,
        ledger: &BatchLedger,
        submission: &Submission,
        ran: &Ran,
    ) -> anyhow::Result<()> {
        let is_announced = self.events != worker::Announcements::Off;
        if submission.notify.is_some() || is_announced {
            let watch = Watch::of(submission, OffsetDateTime::now_utc());
            let message = Message::new(watch.id(), watch.to_vec());
            self.queue.publish_watch(Message { trace: ran.trace.clone(), ..message }).await?;
        }
        if !is_announced {
            return Ok(());
        }
        match self.queue.announce(self.submitted(ledger, submission, ran).announcement()).await {
            Err(error) if self.events == worker::Announcements::Sent => {
                tracing::warn!(error = format!("{error:#}"), "cannot announce the submission");
                Ok(())
            }
            announced => Ok(announced?),
        }
    }

    fn submitted<'e>(
        &self,
        ledger: &'e BatchLedger,
        submission: &'e Submission,
        ran: &'e Ran,
    ) -> CloudEvent<'e> {
        CloudEvent {
            topic: TOPIC,
            id: format!("{}.{TOPIC}", submission.id),
            source: ledger.prefix(),
            subject: submission.batch.as_str(),
            time: submission.submitted_at.clone(),
            trace: &ran.trace,
            data: json!(BatchSubmitted {
                batch: submission.batch.clone(),
                submission: submission.id.clone(),
                output: submission.output.clone(),
                lane: submission.lane.clone(),
                jobs: self.batch.jobs,
                submitted_jobs: ran.totals.jobs,
            }),
        }
    }
}
