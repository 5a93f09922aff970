//! `scriptorium bridge`: makes jobs of notifications of uploads until SIGTERM.

mod rule;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use app::Config;
use job::{Batch, BatchId, Upload};
use ledger::BatchLedger;
use queue::{AmqpQueue, DeadLetterReason, Destination, Lease, Message, Origin, Queue};
use store::Stores;
use telemetry::{Admin, BridgeMetrics, Health, UploadOutcome};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::rule::Rule;
use crate::{UsageError, exit, termination::termination};

/// Notifications in flight.
const IN_FLIGHT: u16 = 64;
const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_secs(1);
/// The code of dead letters that are not notifications.
const INVALID: &str = "notification_invalid";

pub(crate) async fn run(config: &Config) -> anyhow::Result<u8> {
    let bridge = &config.bridge;
    if bridge.rules.is_empty() {
        let message = "bridge.rules: there are none; docs/operations.md has an example";
        return Err(UsageError(message.to_owned()).into());
    }
    let rules = bridge.rules.iter().cloned().enumerate();
    let rules = rules.map(|(index, rule)| Rule::new(index + 1, rule)).collect::<Result<_, _>>()?;
    let queue_config = app::queue_config(config)?;
    let stop = termination()?;
    let (metrics, health) = (Arc::new(BridgeMetrics::default()), Arc::new(Health::default()));
    let admin = Admin { metrics: metrics.clone(), health: health.clone() };
    telemetry::serve(&config.telemetry, admin).await?;
    let stores = app::stores(config)?;
    let queue = tokio::select! {
        queue = AmqpQueue::connect(queue_config) => Arc::new(queue?),
        () = stop.cancelled() => return Ok(exit::SUCCESS),
    };
    if !bridge.exchange.is_empty() {
        queue.bind_uploads(&bridge.exchange, &bridge.routing_key).await?;
    }
    let bridge = Arc::new(Bridge {
        rules,
        stores,
        queue: Arc::clone(&queue),
        known: Mutex::default(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    });
    let mut notifications = queue.consume(Origin::Uploads, IN_FLIGHT).await?;
    health.start();
    tracing::info!(rules = bridge.rules.len(), "waiting for uploads");
    let mut tasks = JoinSet::new();
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = beats.tick() => {
                metrics.beat(queue.is_connected());
                health.beat(queue.is_connected());
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            lease = notifications.next() => {
                let Some(lease) = lease else { break };
                let bridge = Arc::clone(&bridge);
                tasks.spawn(async move { bridge.handle(lease).await });
            }
        }
    }
    health.drain();
    notifications.stop().await;
    while tasks.join_next().await.is_some() {}
    Ok(exit::SUCCESS)
}

struct Bridge {
    rules: Vec<Rule>,
    stores: Arc<Stores>,
    queue: Arc<AmqpQueue>,
    /// Batches whose record is written.
    known: Mutex<HashSet<BatchId>>,
    metrics: Arc<BridgeMetrics>,
    stop: CancellationToken,
}

impl Bridge {
    /// Makes jobs of one notification, and acknowledges it once they are in the queue.
    async fn handle(&self, lease: Box<dyn Lease>) {
        let uploads = match Upload::from_notification(&lease.message().body) {
            Ok(uploads) => uploads,
            Err(error) => {
                let detail = error.to_string();
                tracing::error!(error = detail, "not a notification");
                self.metrics.upload(UploadOutcome::Invalid);
                let reason = DeadLetterReason { code: INVALID.to_owned(), detail };
                let counts = lease.message().counts.clone();
                return report(lease.forward(Destination::Dead(reason), counts).await);
            }
        };
        for upload in &uploads {
            // `None`: it stops, and another bridge gets the notification.
            let Some(outcome) = self.submit(upload).await else { return drop(lease) };
            self.metrics.upload(outcome);
        }
        report(lease.ack().await);
    }

    /// Submits the job of an upload, if a rule takes it. Tries until that succeeds; returns `None` if
    /// the process stops before.
    async fn submit(&self, upload: &Upload) -> Option<UploadOutcome> {
        let found = self.rules.iter().find_map(|rule| Some((rule, rule.path(upload)?)));
        let Some((rule, path)) = found else {
            tracing::debug!(bucket = upload.bucket, key = upload.key, "no rule for this upload");
            return Some(UploadOutcome::Ignored);
        };
        if !rule.takes(&path) {
            tracing::debug!(
                bucket = upload.bucket,
                key = upload.key,
                "not a recording to transcribe"
            );
            return Some(UploadOutcome::Ignored);
        }
        let batch = rule.batch(upload.created_at);
        let job = match rule.job(upload, &path, &batch.id) {
            Ok(job) => job,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(bucket = upload.bucket, key = upload.key, error, "no job");
                return Some(UploadOutcome::Failed);
            }
        };
        let mut delays = worker::delays(MIN_DELAY, MAX_DELAY);
        loop {
            let message =
                Message { lane: rule.lane(), ..Message::new(job.id.clone(), job.to_vec()) };
            let submitted = async {
                self.record(&batch).await?;
                anyhow::Ok(self.queue.publish(message).await?)
            };
            match submitted.await {
                Ok(()) => {
                    let (source, output) = (&job.source, &job.output);
                    tracing::info!(job = job.id, %batch.id, %source, output, "submitted");
                    return Some(UploadOutcome::Submitted);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(job = job.id, error, "cannot submit the job, trying again");
                    self.metrics.upload(UploadOutcome::Retried);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY)) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// Writes the record of a batch, unless it exists.
    async fn record(&self, batch: &Batch) -> anyhow::Result<()> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&batch.id) {
            return Ok(());
        }
        let ledger = BatchLedger::new(self.stores.clone(), &batch.output.parse()?, &batch.id);
        ledger.create_batch(batch).await?;
        known().insert(batch.id.clone());
        Ok(())
    }
}

fn report(settled: Result<(), queue::Error>) {
    if let Err(error) = settled {
        let error = format!("{error:#}");
        tracing::warn!(
            error,
            "the lease was lost before it was settled; the notification comes again"
        );
    }
}
