//! `scriptorium status`: counts the jobs of a batch by state, and lists its failures.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use app::Config;
use futures::{StreamExt, TryStreamExt};
use job::{Batch, BatchId, Failed, Records};
use location::Location;
use serde::Serialize;
use store::Stores;

use crate::{
    args::{StatusArgs, output_prefix},
    commands::{print_json, print_line},
    exit, history,
    progress::Counter,
    termination::termination,
};

const POLL_INTERVAL: Duration = Duration::from_secs(2);
const MAX_RECORD_BYTES: u64 = 1 << 20;
/// Failure records that are read concurrently.
const CONCURRENT_READS: usize = 16;
/// Failure records that are listed.
const MAX_LISTED_FAILURES: usize = 1000;

pub(crate) async fn run(config: &Config, args: StatusArgs) -> anyhow::Result<u8> {
    let out = args.out.map_or_else(|| history::recall(&args.batch), Ok)?;
    let output = output_prefix(&out)?;
    let stores = app::stores(config)?;
    if args.wait {
        return follow(&stores, &output, &args.batch, args.json).await;
    }
    let status = Status::read(&stores, &output, &args.batch).await?;
    status.print(args.json)
}

/// Waits until every job of the batch is done or failed, then prints the status.
pub(crate) async fn follow(
    stores: &Stores,
    output: &Location,
    batch: &BatchId,
    json: bool,
) -> anyhow::Result<u8> {
    let counter = Counter::start();
    let stop = termination()?;
    loop {
        let tally = Tally::read(stores, output, batch).await?;
        counter.show(tally.done + tally.failed, tally.jobs, &tally.to_string());
        if tally.is_over() {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = stop.cancelled() => return Ok(exit::INTERRUPTED),
        }
    }
    drop(counter);
    Status::read(stores, output, batch).await?.print(json)
}

/// Number of jobs of a batch by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Tally {
    /// All jobs; absent while the batch is being submitted.
    jobs: Option<u64>,
    queued: u64,
    running: u64,
    done: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Status {
    batch: BatchId,
    out: String,
    #[serde(flatten)]
    tally: Tally,
    failures: Vec<Failed>,
}

impl Tally {
    async fn read(stores: &Stores, output: &Location, batch: &BatchId) -> anyhow::Result<Self> {
        let records = Records::under(&output.to_string(), batch);
        let jobs = read_batch(stores, &records).await?.jobs;
        // In the order in which jobs change state, so that a job that changes state between two
        // listings is not missed.
        let running = job_ids(stores, &records.all_running()).await?;
        let failed = job_ids(stores, &records.all_failed()).await?;
        let done = job_ids(stores, &records.all_done()).await?;
        Ok(Self::count(jobs, &running, &failed, &done))
    }

    /// Counts every job once: as done rather than failed, as failed rather than running.
    fn count(
        jobs: Option<u64>,
        running: &BTreeSet<String>,
        failed: &BTreeSet<String>,
        done: &BTreeSet<String>,
    ) -> Self {
        let over = |job: &&String| failed.contains(*job) || done.contains(*job);
        let running = running.iter().filter(|job| !over(job)).count() as u64;
        let failed = failed.difference(done).count() as u64;
        let done = done.len() as u64;
        let queued = jobs.unwrap_or(0).saturating_sub(done + failed + running);
        Self { jobs, queued, running, done, failed }
    }

    fn is_over(&self) -> bool {
        self.jobs.is_some_and(|jobs| self.done + self.failed >= jobs)
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queued, running, done, failed, .. } = self;
        write!(f, "{queued} queued, {running} running, {done} done, {failed} failed")?;
        if self.jobs.is_none() {
            write!(f, " (still being submitted)")?;
        }
        Ok(())
    }
}

impl Status {
    async fn read(stores: &Stores, output: &Location, batch: &BatchId) -> anyhow::Result<Self> {
        let tally = Tally::read(stores, output, batch).await?;
        let failures = read_failures(stores, output, batch).await?;
        Ok(Self { batch: batch.clone(), out: output.to_string(), tally, failures })
    }

    fn print(&self, json: bool) -> anyhow::Result<u8> {
        if json {
            print_json(self)?;
        } else {
            print_line(&self.tally.to_string())?;
            for record in &self.failures {
                let Failed { failure, remedy, attempts, .. } = record;
                print_line(&format!("\n{}\n  {failure}", failure.source))?;
                print_line(&format!("  {remedy} (attempts: {attempts})"))?;
            }
            let unlisted = self.tally.failed.saturating_sub(self.failures.len() as u64);
            if unlisted > 0 {
                print_line(&format!("\nand {unlisted} more failures"))?;
            }
        }
        Ok(if self.tally.failed > 0 { exit::FAILURE } else { exit::SUCCESS })
    }
}

/// Reads the record of the batch.
pub(super) async fn read_batch(stores: &Stores, records: &Records) -> anyhow::Result<Batch> {
    let uri = records.batch();
    let (store, key) = stores.open(&uri.parse()?)?;
    let (_, body) = store.get(&key, MAX_RECORD_BYTES).await?;
    Batch::from_slice(&body).with_context(|| {
        format!("{uri} was written by another version of scriptorium, or is damaged")
    })
}

/// Returns the ids of the jobs that have a record under the prefix `uri`.
async fn job_ids(stores: &Stores, uri: &str) -> anyhow::Result<BTreeSet<String>> {
    let (store, prefix) = stores.open(&uri.parse()?)?;
    let names = store
        .list(&prefix)
        .map_ok(|object| {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            name.strip_suffix(".json").unwrap_or(name).to_owned()
        })
        .try_collect();
    Ok(names.await?)
}

/// Reads the first failure records of the batch.
async fn read_failures(
    stores: &Stores,
    output: &Location,
    batch: &BatchId,
) -> anyhow::Result<Vec<Failed>> {
    let records = Records::under(&output.to_string(), batch);
    let (store, prefix) = stores.open(&records.all_failed().parse()?)?;
    let keys: Vec<String> = store
        .list(&prefix)
        .take(MAX_LISTED_FAILURES)
        .map_ok(|object| object.key)
        .try_collect()
        .await?;
    let store = &store;
    let read = futures::stream::iter(keys).map(async |key| {
        let (_, body) = store.get(&key, MAX_RECORD_BYTES).await?;
        let record = serde_json::from_slice::<Failed>(&body);
        record.with_context(|| format!("{key} is not a valid failure record"))
    });
    read.buffered(CONCURRENT_READS).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_job_once_by_its_latest_state() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        // A worker that dies, or loses the store, leaves earlier records behind.
        let (running, failed, done) = (set(&["a", "b", "c"]), set(&["b", "c", "d"]), set(&["c"]));
        let tally = Tally::count(Some(6), &running, &failed, &done);
        let expected = Tally { jobs: Some(6), queued: 2, running: 1, done: 1, failed: 2 };
        assert_eq!(tally, expected);
        assert!(!tally.is_over());
    }
}
