//! `scriptorium status`: counts the jobs of a batch by state, and lists its failures.

mod rate;
mod stillness;

use std::time::Duration;

use anyhow::Context;
use app::Config;
use job::{Batch, BatchId, Delivery, Failed, Notification, WebhookRecord};
use ledger::{BatchControl, BatchLedger, Counted, Setback, Tallies};
use queue::{AmqpConfig, AmqpQueue, Queue};
use serde::Serialize;
use tokio::time::Instant;

use self::{
    rate::{Rate, Speed},
    stillness::Stillness,
};
use crate::{
    args::{StatusArgs, output_prefix},
    batches,
    commands::{print_json, print_line},
    exit, history, output,
    progress::{Counter, rough},
    termination::termination,
};

const POLL_INTERVAL: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT_SECONDS: u64 = 5;
/// Failures that are listed of a batch whose records are counted one by one, and of a larger one.
const MAX_LISTED_FAILURES: usize = 1000;
const MAX_SHOWN_FAILURES: usize = 20;
/// How long nothing must happen before the records of a large batch are counted one by one: what killed
/// workers had not counted is missing from its tallies.
const RECOUNT_AFTER: Duration = Duration::from_secs(30);

pub(crate) async fn run(config: &Config, args: StatusArgs) -> anyhow::Result<u8> {
    let out = args.out.map_or_else(|| history::recall(&args.batch), Ok)?;
    let output = output_prefix(&out)?;
    let stores = app::stores(config)?;
    let view = View {
        ledger: BatchLedger::new(stores, &output, &args.batch),
        batch: args.batch,
        out: output.to_string(),
    };
    if args.wait || args.watch {
        let queue = queue(config).await?;
        return view.follow(queue.as_ref(), args.json).await;
    }
    let record = view.record().await?;
    let is_recorded = record.is_some();
    let batch = record.unwrap_or_else(|| Batch {
        id: view.batch.clone(),
        ..Batch::new(Vec::new(), view.out.clone())
    });
    let mut tallies = Tallies::default();
    let counted = if args.recount {
        view.ledger.recount(&batch, &mut tallies).await?
    } else {
        view.ledger.count(&batch, &mut tallies).await?
    };
    view.print(&counted, is_recorded, args.json).await
}

/// Connects to the queue, to see whether jobs are still in it. Without an answer the batch is followed
/// all the same.
async fn queue(config: &Config) -> anyhow::Result<Option<AmqpQueue>> {
    let config = AmqpConfig {
        connect_timeout_seconds: Some(CONNECT_TIMEOUT_SECONDS),
        ..app::queue_config(config)?
    };
    match AmqpQueue::connect(config).await {
        Ok(queue) => Ok(Some(queue)),
        Err(error) => {
            output::say(&format!("warning: cannot look into the queue: {error:#}"));
            Ok(None)
        }
    }
}

/// What is shown of a batch.
pub(crate) struct View {
    pub(crate) ledger: BatchLedger,
    pub(crate) batch: BatchId,
    /// Prefix of the transcripts.
    pub(crate) out: String,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    batch: &'a BatchId,
    out: &'a str,
    /// Whether there is a `batch.json`; without it, the numbers of all and of queued jobs are unknown.
    is_recorded: bool,
    #[serde(flatten)]
    counted: &'a Counted,
    /// Who was told that the batch is over; empty before.
    notifications: Vec<Notification>,
    failures: Vec<Failed>,
}

impl View {
    /// Waits until every job of the batch is done or failed, showing progress, then prints the status.
    /// Ends as well when jobs are neither, and nowhere in the queue.
    pub(crate) async fn follow(&self, queue: Option<&AmqpQueue>, json: bool) -> anyhow::Result<u8> {
        let counter = Counter::start();
        let stop = termination()?;
        let mut stillness = Stillness::new(queue.map(AmqpQueue::lease_time));
        let (mut tallies, mut rate) = (Tallies::default(), Rate::default());
        let (mut last, mut changed_at, mut recounted) = (None, Instant::now(), false);
        let counted = loop {
            let mut counted = self.count(&mut tallies).await?;
            let now = Instant::now();
            if last.replace(counted.tally) != Some(counted.tally) {
                (changed_at, recounted) = (now, false);
            } else if !counted.exact && !recounted && now - changed_at >= RECOUNT_AFTER {
                recounted = true;
                counted = self.recount(&mut tallies).await?;
            }
            let ended = counted.tally.done + counted.tally.failed;
            let speed = rate.add(&counted, now);
            let details = progress_details(&counted, speed);
            counter.show(ended, counted.tally.jobs, &state_line(&counted), details);
            if counted.is_over() {
                break counted;
            }
            let waiting = match queue {
                Some(queue) => queue.depth().await.ok().map(|depth| depth.waiting()),
                None => None,
            };
            if stillness.is_over(counted.tally, waiting, now) {
                drop(counter);
                let lost = counted.tally.queued + counted.tally.running;
                output::say(&format!(
                    "error: {lost} jobs have vanished from the queue: submit the same recordings again \
                     with --batch {}",
                    self.batch
                ));
                self.print(&counted, true, json).await?;
                return Ok(exit::FAILURE);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = stop.cancelled() => {
                    drop(counter);
                    output::say(&format!(
                        "the jobs go on; wait for them with: scriptorium status {} --wait",
                        self.batch
                    ));
                    return Ok(exit::INTERRUPTED);
                }
            }
        };
        drop(counter);
        self.print(&counted, true, json).await
    }

    async fn count(&self, tallies: &mut Tallies) -> anyhow::Result<Counted> {
        let batch = self.expect_record().await?;
        Ok(self.ledger.count(&batch, tallies).await?)
    }

    async fn recount(&self, tallies: &mut Tallies) -> anyhow::Result<Counted> {
        let batch = self.expect_record().await?;
        Ok(self.ledger.recount(&batch, tallies).await?)
    }

    async fn record(&self) -> anyhow::Result<Option<Batch>> {
        batches::find(&self.ledger, &self.batch, &self.out).await
    }

    /// Returns the record, without which nobody knows when the batch is over.
    async fn expect_record(&self) -> anyhow::Result<Batch> {
        self.record().await?.with_context(|| {
            format!(
                "cannot wait for batch {}: nothing says how many jobs it has. Whoever submits them \
                 writes that to {}/batch.json (docs/jobs.md)",
                self.batch,
                self.ledger.prefix()
            )
        })
    }

    /// Prints the status. `is_recorded`: there is a record of the batch.
    async fn print(&self, counted: &Counted, is_recorded: bool, json: bool) -> anyhow::Result<u8> {
        let limit = if counted.exact { MAX_LISTED_FAILURES } else { MAX_SHOWN_FAILURES };
        let failures = match &counted.state {
            Some(state) => self.ledger.failures(state, limit).await?,
            None => self.ledger.some_failures(limit).await?,
        };
        let notifications = self.ledger.notifications().await?;
        let unlisted = counted.tally.failed.saturating_sub(failures.len() as u64);
        if json {
            let (batch, out) = (&self.batch, self.out.as_str());
            print_json(&Status { batch, out, is_recorded, counted, notifications, failures })?;
        } else {
            let line = match is_recorded {
                true => state_line(counted),
                false => unrecorded_line(counted, self.ledger.prefix()),
            };
            print_line(&line)?;
            if counted.audio_seconds > 0.0 {
                print_line(&work_line(counted))?;
            }
            if let Some(setback) = &counted.last_setback {
                for line in setback_lines(setback) {
                    print_line(&line)?;
                }
            }
            for line in notifications.iter().flat_map(notification_lines) {
                print_line(&line)?;
            }
            for record in &failures {
                let Failed { failure, remedy, attempts, .. } = record;
                print_line("")?;
                print_line(&failure.source)?;
                print_line(&format!("  {failure}"))?;
                print_line(&format!("  {remedy} (attempts: {attempts})"))?;
            }
            if unlisted > 0 {
                print_line("")?;
                print_line(&format!("and {unlisted} more failures"))?;
            }
        }
        let failed = counted.tally.failed > 0 || counted.control == BatchControl::Cancelled;
        Ok(if failed { exit::FAILURE } else { exit::SUCCESS })
    }
}

/// Returns the counts of a batch without a record as a line.
fn unrecorded_line(counted: &Counted, prefix: &str) -> String {
    let ledger::Tally { running, done, failed, .. } = counted.tally;
    let control = match counted.control {
        BatchControl::Active => "",
        BatchControl::Paused => " (paused)",
        BatchControl::Cancelled => " (cancelled)",
    };
    format!(
        "{running} running, {done} done, {failed} failed{control}; how many jobs there are is unknown: \
         there is no {prefix}/batch.json"
    )
}

/// Returns the counts as a line.
fn state_line(counted: &Counted) -> String {
    let tally = counted.tally;
    match counted.control {
        BatchControl::Active => tally.to_string(),
        BatchControl::Paused => format!("{tally} (paused)"),
        BatchControl::Cancelled => format!("{tally}, {} cancelled", counted.cancelled),
    }
}

/// Returns what was worked as a line.
fn work_line(counted: &Counted) -> String {
    let Counted { audio_seconds, cpu_seconds, up_to_date, retried, .. } = counted;
    let mut line = format!("{:.1} audio-hours", audio_seconds / 3600.0);
    if *cpu_seconds > 0.0 {
        line += &format!(" in {:.1} core-hours", cpu_seconds / 3600.0);
    }
    if *up_to_date > 0 {
        line += &format!(", {up_to_date} transcripts existed");
    }
    if *retried > 0 {
        line += &format!(", {retried} retries");
    }
    line
}

/// Returns why a job waits for another try, as lines.
fn setback_lines(setback: &Setback) -> [String; 2] {
    let Setback { at, next_try_at, code, source, message } = setback;
    [
        format!("waiting for another try, as of {at}; the next one is due at {next_try_at}"),
        format!("  {source}: {code}: {message}"),
    ]
}

/// Returns who was told that the batch is over, as lines.
fn notification_lines(notification: &Notification) -> Vec<String> {
    let event = notification.announced_at.as_ref().map(|at| format!("event batch.completed: {at}"));
    event.into_iter().chain(notification.webhook.as_ref().map(webhook_line)).collect()
}

fn webhook_line(webhook: &WebhookRecord) -> String {
    let WebhookRecord { url, state, attempts, last_attempt_at, last_answer, next_attempt_at } =
        webhook;
    let mut line = format!("webhook {url}: ");
    line += match state {
        Delivery::Pending => "not delivered yet",
        Delivery::Delivered => "delivered",
        Delivery::GivenUp => "given up",
    };
    if let Some(at) = last_attempt_at {
        line += &format!(" {at} (attempt {attempts}");
        if let Some(answer) = last_answer {
            line += &format!(": {answer}");
        }
        line += ")";
    }
    if let Some(at) = next_attempt_at {
        line += &format!(", next attempt {at}");
    }
    line
}

/// Returns what else there is to say of the progress, the most important first: reasons of failures, time
/// left, speed.
fn progress_details(counted: &Counted, speed: Option<Speed>) -> Vec<String> {
    let reasons = counted.failed_by_code.iter().map(|(code, count)| format!("{count} {code}"));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let mut details = Vec::new();
    if !reasons.is_empty() {
        details.push(format!("[{reasons}]"));
    }
    if let Some(setback) = &counted.last_setback {
        details.push(format!("waiting: {}", setback.code));
    }
    if let Some(Speed { audio, left }) = speed {
        details.extend(left.map(|left| format!("{} left", rough(left))));
        details.push(format!("{audio:.0}x real time"));
        details.push(format!("{:.1} h of audio", counted.audio_seconds / 3600.0));
    }
    details
}
