//! Watches batches for those who asked to be told of their end, beside the jobs: one watch at a time, each
//! for a moment. What is known of a batch is in the store, and a watch that has to wait does so in the queue.

mod look;
mod schedule;
mod tell;

use std::{sync::Arc, time::Duration};

use errors::Chain;
use job::{BatchId, FailureCode, Watch};
use ledger::BatchLedger;
use location::Location;
use notify::Webhooks;
use queue::{Consumer, Counts, DeadLetterReason, Destination, Lease, Message, Queue};
use store::Stores;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Announcements, WorkerConfig,
    allowed::{Allowed, InvalidPrefix},
    events::{Channel, Notified, Observer, WorkerEvent},
};

/// How long a batch is watched.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a watch waits for a store or a broker that does not answer.
const OUTAGE: Duration = Duration::from_secs(60);
/// Pause after a panic, whose watch comes back at once.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// The code of dead letters that are not watches.
const INVALID: &str = "watch_invalid";

/// Watches batches. All clones are the same.
#[derive(Clone)]
pub(crate) struct Watcher {
    queue: Arc<dyn Queue>,
    stores: Arc<Stores>,
    allowed: Arc<Allowed>,
    events: Announcements,
    pub(crate) webhooks: Arc<Webhooks>,
    observers: Vec<Arc<dyn Observer>>,
}

/// What becomes of a watch.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// There is nothing left to do.
    Drop,
    Later(Duration, Counts),
    /// Another worker goes on.
    Return,
    Dead(DeadLetterReason),
}

impl Watcher {
    /// # Errors
    /// If `worker.sources` or `worker.outputs` names no location.
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        stores: Arc<Stores>,
        config: &WorkerConfig,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Result<Self, InvalidPrefix> {
        let (allowed, events) = (Arc::new(Allowed::new(config)?), config.events);
        let webhooks = Arc::new(Webhooks::off());
        Ok(Self { queue, stores, allowed, events, webhooks, observers })
    }

    /// Handles watches, one at a time, until `stop` is cancelled; what it holds then goes back.
    pub(crate) async fn run(self, mut watches: Box<dyn Consumer>, stop: CancellationToken) {
        loop {
            let lease = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                lease = watches.next() => lease,
            };
            let Some(lease) = lease else { break };
            let span = tracing::info_span!("watch", batch = tracing::field::Empty);
            self.observers.iter().for_each(|observer| observer.span(&span, &lease.message().trace));
            let (watcher, stopped) = (self.clone(), stop.clone());
            let handled = async move { watcher.handle(lease, &stopped).await };
            if let Err(error) = tokio::spawn(handled.instrument(span)).await {
                // The panic dropped the lease, which returns the watch.
                tracing::error!(%error, "the task of a watch panicked");
                tokio::select! {
                    () = tokio::time::sleep(AFTER_PANIC) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        watches.stop().await;
    }

    async fn handle(&self, lease: Box<dyn Lease>, stop: &CancellationToken) {
        let next = tokio::select! {
            // What is done already counts.
            biased;
            next = self.next(lease.message()) => next,
            () = stop.cancelled() => Next::Return,
        };
        let counts = lease.message().counts.clone();
        let settled = match next {
            Next::Drop => lease.ack().await,
            Next::Later(delay, counts) => lease.forward(Destination::Delayed(delay), counts).await,
            Next::Return => lease.forward(Destination::Returned, counts).await,
            Next::Dead(reason) => lease.forward(Destination::Dead(reason), counts).await,
        };
        if let Err(error) = settled {
            let error = Chain(&error).to_string();
            tracing::warn!(
                error,
                "the lease was lost before it was settled; the watch comes again"
            );
        }
    }

    async fn next(&self, message: &Message) -> Next {
        let dead = |code: &str, detail: String| {
            tracing::error!(code, detail, "a watch is given up");
            Next::Dead(DeadLetterReason { code: code.to_owned(), detail })
        };
        let watch = match Watch::from_slice(&message.body) {
            Ok(watch) => watch,
            Err(error) => return dead(INVALID, error.to_string()),
        };
        tracing::Span::current().record("batch", watch.batch.as_str());
        let ledger = match watch.output.parse::<Location>() {
            Ok(output) => BatchLedger::new(Arc::clone(&self.stores), &output, &watch.batch),
            Err(error) => return dead(INVALID, Chain(&error).to_string()),
        };
        if !self.allowed.allows_output(ledger.prefix()) {
            let detail = format!("{} is not below a prefix of worker.outputs", ledger.prefix());
            return dead(FailureCode::OutputNotAllowed.as_str(), detail);
        }
        match self.follow(&ledger, &watch, message).await {
            Ok(next) => next,
            Err(error) => {
                let error = Chain(&error).to_string();
                tracing::warn!(error, "cannot look at the batch, trying again");
                if age(&watch) > MAX_AGE {
                    self.give_up_watching(&watch);
                    return Next::Drop;
                }
                Next::Later(OUTAGE, message.counts.clone())
            }
        }
    }

    /// Does what there is to do for a watch now.
    async fn follow(
        &self,
        ledger: &BatchLedger,
        watch: &Watch,
        message: &Message,
    ) -> Result<Next, ledger::Error> {
        if watch.notify.is_none() && self.events == Announcements::Off {
            tracing::debug!("worker.events is off, and there is no webhook: nobody is to be told");
            return Ok(Next::Drop);
        }
        if let Some(record) = ledger.notification(&watch.submission).await? {
            return self.tell(ledger, watch, record, message).await;
        }
        let Some(batch) = ledger.batch().await? else {
            tracing::info!("the records of the batch are gone: it is not watched any more");
            return Ok(Next::Drop);
        };
        match look::look(ledger, &batch, &message.counts.seen, age(watch)).await? {
            look::Look::Over(end) => {
                let record = tell::begun(watch, Some(end));
                let record = ledger.begin_notification(record).await?;
                self.tell(ledger, watch, record, message).await
            }
            look::Look::NotYet { .. } if age(watch) > MAX_AGE => {
                ledger.write_notification(&tell::begun(watch, None)).await?;
                self.give_up_watching(watch);
                Ok(Next::Drop)
            }
            look::Look::NotYet { delay, seen } => {
                let counts = message.counts.clone();
                Ok(Next::Later(delay, Counts { seen, ..counts }))
            }
        }
    }

    fn give_up_watching(&self, watch: &Watch) {
        let days = MAX_AGE.as_secs() / (24 * 3600);
        let detail = format!("the batch is not over after {days} days: it is not watched any more");
        let event = (self.events != Announcements::Off).then_some(Channel::Event);
        let webhook = watch.notify.as_ref().map(|_| Channel::Webhook);
        for channel in event.into_iter().chain(webhook) {
            self.emit(&watch.batch, channel, Notified::Failed, &detail);
        }
    }

    fn emit(&self, batch: &BatchId, channel: Channel, outcome: Notified, detail: &str) {
        let (batch, detail) = (batch.clone(), detail.to_owned());
        WorkerEvent::Notified { batch, channel, outcome, detail }.emit(&self.observers);
    }
}

/// Returns the time since the submission. A clock that is behind that of the submitter shows none.
fn age(watch: &Watch) -> Duration {
    (OffsetDateTime::now_utc() - watch.since).try_into().unwrap_or_default()
}
