//! `scriptorium status`: counts the jobs of a batch by state, and lists its failures.

use std::time::Duration;

use anyhow::Context;
use app::Config;
use job::{BatchId, Failed};
use ledger::{BatchLedger, State, Tally};
use queue::{AmqpConfig, AmqpQueue, Queue};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    args::{StatusArgs, output_prefix},
    commands::{print_json, print_line},
    exit, history, output,
    progress::Counter,
    termination::termination,
};

const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long nothing must happen, with an empty queue, until jobs count as vanished. Longer than a worker
/// takes from the lease of a job to the record of its run.
const VANISHED: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT_SECONDS: u64 = 5;
/// Failure records that are listed.
const MAX_LISTED_FAILURES: usize = 1000;

pub(crate) async fn run(config: &Config, args: StatusArgs) -> anyhow::Result<u8> {
    let out = args.out.map_or_else(|| history::recall(&args.batch), Ok)?;
    let output = output_prefix(&out)?;
    let stores = app::stores(config)?;
    let view = View {
        ledger: BatchLedger::new(stores, &output, &args.batch),
        batch: args.batch,
        out: output.to_string(),
    };
    if args.wait {
        let queue = queue(config).await?;
        return view.follow(queue.as_ref(), args.json).await;
    }
    let (tally, state) = view.read().await?;
    view.print(tally, &state, args.json).await
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

/// Since when a batch shows no sign of life.
struct Stillness {
    /// How long a worker holds a message before it shows in the queue; `None`: the queue cannot be
    /// looked at.
    lease_time: Option<Duration>,
    tally: Tally,
    since: Option<Instant>,
}

impl Stillness {
    fn new(lease_time: Option<Duration>) -> Self {
        Self { lease_time, tally: Tally::default(), since: None }
    }

    /// Returns whether the jobs that are not done have vanished. `waiting` is the number of messages in
    /// the queue, if it answers.
    fn is_over(&mut self, tally: Tally, waiting: Option<u64>, now: Instant) -> bool {
        let Some(lease_time) = self.lease_time else { return false };
        let changed = std::mem::replace(&mut self.tally, tally) != tally;
        if changed || waiting != Some(0) || tally.jobs.is_none() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        // A job that runs for longer than the lease time has a parked message.
        let limit = if tally.running > 0 { VANISHED + 2 * lease_time } else { VANISHED };
        now - since >= limit
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
    #[serde(flatten)]
    tally: Tally,
    failures: Vec<Failed>,
}

impl View {
    /// Waits until every job of the batch is done or failed, then prints the status. Ends as well when
    /// jobs are neither, and nowhere in the queue.
    pub(crate) async fn follow(&self, queue: Option<&AmqpQueue>, json: bool) -> anyhow::Result<u8> {
        let counter = Counter::start();
        let stop = termination()?;
        let mut stillness = Stillness::new(queue.map(AmqpQueue::lease_time));
        let (tally, state) = loop {
            let (tally, state) = self.read().await?;
            counter.show(tally.done + tally.failed, tally.jobs, &tally.to_string());
            if tally.is_over() {
                break (tally, state);
            }
            let waiting = match queue {
                Some(queue) => queue.depth().await.ok().map(|depth| depth.waiting()),
                None => None,
            };
            if stillness.is_over(tally, waiting, Instant::now()) {
                drop(counter);
                let lost = tally.queued + tally.running;
                output::say(&format!(
                    "error: {lost} jobs have vanished from the queue: submit the same recordings again \
                     with --batch {}",
                    self.batch
                ));
                self.print(tally, &state, json).await?;
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
        self.print(tally, &state, json).await
    }

    async fn read(&self) -> anyhow::Result<(Tally, State)> {
        let batch = self
            .ledger
            .batch()
            .await?
            .with_context(|| format!("there is no batch {} below {}", self.batch, self.out))?;
        let state = self.ledger.state().await?;
        Ok((state.tally(batch.jobs), state))
    }

    async fn print(&self, tally: Tally, state: &State, json: bool) -> anyhow::Result<u8> {
        let failures = self.ledger.failures(state, MAX_LISTED_FAILURES).await?;
        let unlisted = tally.failed.saturating_sub(failures.len() as u64);
        if json {
            print_json(&Status { batch: &self.batch, out: &self.out, tally, failures })?;
        } else {
            print_line(&tally.to_string())?;
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
        Ok(if tally.failed > 0 { exit::FAILURE } else { exit::SUCCESS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(900);

    fn tally(running: u64, done: u64) -> Tally {
        Tally { jobs: Some(9), queued: 9 - running - done, running, done, failed: 0 }
    }

    #[test]
    fn jobs_vanish_when_nothing_happens_and_the_queue_is_empty() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut still = Stillness::new(Some(LEASE));
        let mut at =
            |tally, waiting, seconds| still.is_over(tally, waiting, start + seconds * second);
        assert!(!at(tally(0, 5), Some(0), 0));
        assert!(!at(tally(0, 5), Some(0), 10));
        assert!(!at(tally(0, 5), Some(0), 129));
        assert!(at(tally(0, 5), Some(0), 130));
        // Any sign of life begins the wait anew.
        assert!(!at(tally(0, 6), Some(0), 200));
        assert!(!at(tally(0, 6), Some(1), 400));
        assert!(!at(tally(0, 6), None, 600));
        assert!(!at(tally(0, 6), Some(0), 800));
        assert!(!at(tally(1, 6), Some(0), 900), "a job began to run");
        assert!(!at(tally(1, 6), Some(0), 901));
        assert!(!at(tally(1, 6), Some(0), 2820), "it may run for as long before it is parked");
        assert!(at(tally(1, 6), Some(0), 2821));
        let mut blind = Stillness::new(None);
        assert!(
            !blind.is_over(tally(0, 5), None, start)
                && !blind.is_over(tally(0, 5), None, start + LEASE)
        );
    }
}
