//! Tells those who asked that a batch is over: announces the event, then delivers the webhook.

use std::time::Duration;

use errors::Chain;
use job::{
    BatchCompleted, BatchEnd, Delivery, Notification, RECORDS_VERSION, Watch, WebhookRecord,
};
use ledger::BatchLedger;
use notify::{Answer, Request, WebhookUrl};
use queue::{Announcement, Counts, Message};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Next, OUTAGE, Watcher, schedule::next_attempt};
use crate::{
    Announcements, CloudEvent,
    events::{Channel, Notified},
    now, rfc3339,
};

/// Topic of the event.
const TOPIC: &str = "batch.completed";

/// Returns the first record of a notification. Without an `end`, nobody is told.
pub(super) fn begun(watch: &Watch, end: Option<BatchEnd>) -> Notification {
    let is_over = end.is_some();
    let webhook = |url: &String| WebhookRecord {
        // A URL that is none is refused when it is used.
        url: url
            .parse::<WebhookUrl>()
            .map_or_else(|_| "(invalid)".to_owned(), |url| url.to_string()),
        state: if is_over { Delivery::Pending } else { Delivery::GivenUp },
        attempts: 0,
        last_attempt_at: None,
        last_answer: None,
        next_attempt_at: None,
    };
    Notification {
        version: RECORDS_VERSION,
        submission: watch.submission.clone(),
        over_at: is_over.then(now),
        end,
        announced_at: None,
        webhook: watch.notify.as_ref().map(webhook),
        complete: !is_over,
    }
}

impl Watcher {
    /// Tells whoever has not been told, and records it.
    pub(super) async fn tell(
        &self,
        ledger: &BatchLedger,
        watch: &Watch,
        mut record: Notification,
        message: &Message,
    ) -> Result<Next, ledger::Error> {
        if record.complete {
            tracing::debug!("everybody was told already");
            return Ok(Next::Drop);
        }
        if let Some(wait) = record.webhook.as_ref().and_then(waiting)
            && (record.announced_at.is_some() || self.events == Announcements::Off)
        {
            return Ok(Next::Later(wait, message.counts.clone()));
        }
        let event = completed(ledger, watch, &record, &message.trace);
        if self.events != Announcements::Off && record.announced_at.is_none() {
            if self.announce(watch, &event).await {
                record.announced_at = Some(now());
            } else if self.events == Announcements::Confirmed {
                return Ok(Next::Later(OUTAGE, message.counts.clone()));
            }
        }
        let next = match &mut record.webhook {
            Some(webhook) if webhook.state == Delivery::Pending => {
                self.deliver(watch, webhook, &event, &message.counts).await
            }
            _ => Next::Drop,
        };
        record.complete = next == Next::Drop;
        match ledger.write_notification(&record).await {
            Ok(()) => Ok(next),
            // The receiver knows it by its id if it is sent again.
            Err(error) if record.complete => Err(error),
            Err(error) => {
                let error = Chain(&error).to_string();
                tracing::warn!(error, "cannot record the attempt; the watch has its number");
                Ok(next)
            }
        }
    }

    /// Returns whether the broker has taken the event.
    async fn announce(&self, watch: &Watch, event: &Announcement) -> bool {
        match self.queue.announce(event.clone()).await {
            Ok(()) => {
                self.emit(&watch.batch, Channel::Event, Notified::Sent, TOPIC);
                true
            }
            Err(error) => {
                let outcome = match self.events {
                    Announcements::Confirmed => Notified::Retried,
                    Announcements::Sent | Announcements::Off => Notified::Failed,
                };
                self.emit(&watch.batch, Channel::Event, outcome, &Chain(&error).to_string());
                false
            }
        }
    }

    /// Sends the webhook once, if it is time, and notes what the server answered.
    async fn deliver(
        &self,
        watch: &Watch,
        webhook: &mut WebhookRecord,
        event: &Announcement,
        counts: &Counts,
    ) -> Next {
        if let Some(wait) = waiting(webhook) {
            return Next::Later(wait, counts.clone());
        }
        // An attempt that could not be recorded is in the message.
        webhook.attempts = webhook.attempts.max(counts.attempts).saturating_add(1);
        let answer = match watch.notify.as_deref().unwrap_or_default().parse::<WebhookUrl>() {
            Ok(url) => {
                let request = Request {
                    id: &webhook_id(watch),
                    content_type: &event.content_type,
                    body: event.body.clone(),
                };
                self.webhooks.send(&url, request).await
            }
            Err(error) => Answer::Refused { reason: format!("the URL is not valid: {error}") },
        };
        webhook.last_attempt_at = Some(now());
        webhook.next_attempt_at = None;
        let (outcome, reason, wait) = match answer {
            Answer::Delivered { status } => (Notified::Sent, format!("HTTP {status}"), None),
            Answer::Refused { reason } => (Notified::Failed, reason, None),
            Answer::Failed { reason, retry_after } => {
                let wait = next_attempt(webhook.attempts, retry_after);
                (wait.map_or(Notified::Failed, |_| Notified::Retried), reason, wait)
            }
        };
        webhook.state = match outcome {
            Notified::Sent => Delivery::Delivered,
            Notified::Retried => Delivery::Pending,
            Notified::Failed => Delivery::GivenUp,
        };
        let detail = format!("{}: {reason}, attempt {}", webhook.url, webhook.attempts);
        self.emit(&watch.batch, Channel::Webhook, outcome, &detail);
        webhook.last_answer = Some(reason);
        match wait {
            Some(wait) => {
                webhook.next_attempt_at = Some(rfc3339(OffsetDateTime::now_utc() + wait));
                Next::Later(wait, Counts { attempts: webhook.attempts, ..counts.clone() })
            }
            None => Next::Drop,
        }
    }
}

/// Returns the time until the next attempt, if it is not due. A queue may offer no delay that is long enough.
fn waiting(webhook: &WebhookRecord) -> Option<Duration> {
    let at = OffsetDateTime::parse(webhook.next_attempt_at.as_ref()?, &Rfc3339).ok()?;
    let wait: Duration = (at - OffsetDateTime::now_utc()).try_into().ok()?;
    (webhook.state == Delivery::Pending && !wait.is_zero()).then_some(wait)
}

/// Returns the id of the webhook, which is the same for the same submission. It has no full stop, which
/// ends it in what is signed.
fn webhook_id(watch: &Watch) -> String {
    format!("batch-completed-{}", watch.submission)
}

/// Returns the event. It is the same whenever it is made of the same record.
fn completed(
    ledger: &BatchLedger,
    watch: &Watch,
    record: &Notification,
    trace: &str,
) -> Announcement {
    let Watch { batch, submission, output, .. } = watch.clone();
    let end = record.end.clone().unwrap_or_default();
    let data = BatchCompleted { batch, submission, output, end };
    CloudEvent {
        topic: TOPIC,
        id: format!("{}.{TOPIC}", watch.submission),
        source: ledger.prefix(),
        subject: watch.batch.as_str(),
        time: record.over_at.clone().unwrap_or_default(),
        trace,
        data: serde_json::to_value(data).unwrap_or_default(),
    }
    .announcement()
}
