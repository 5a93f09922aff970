//! Counts what this process does for each batch, and writes the counts to the ledger every few seconds.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use errors::Chain;
use job::{Failure, RECORDS_VERSION};
use ledger::{Ledger, Setback, WorkerTally};
use tokio::time::Instant;

use crate::{
    events::{JobEvent, JobEventKind},
    job::POSTPONED,
    lock, now, rfc3339,
};

/// How often changed counts are written.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often the counts of a batch whose jobs run are written without a change, to show that they do.
const ALIVE: Duration = Duration::from_secs(30);
/// After this time without a job, a batch is forgotten. If it comes back, it gets a new record.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The counts of all batches that this process has worked on.
pub(crate) struct TallyWriter {
    ledger: Ledger,
    worker: String,
    /// By prefix of the batch's records.
    batches: Mutex<HashMap<String, Batch>>,
}

struct Batch {
    /// Name of the record, which no other process has.
    name: String,
    tally: WorkerTally,
    is_changed: bool,
    written_at: Instant,
}

impl TallyWriter {
    pub(crate) fn new(ledger: Ledger, worker: String) -> Self {
        Self { ledger, worker, batches: Mutex::default() }
    }

    /// Counts an event of a job that has a batch.
    pub(crate) fn count(&self, event: &JobEvent<'_>) {
        if event.job.batch.is_none() {
            return;
        }
        let mut batches = lock(&self.batches);
        let batch = batches.entry(event.job.records_prefix()).or_insert_with(|| Batch {
            name: uuid::Uuid::now_v7().to_string(),
            tally: WorkerTally {
                version: RECORDS_VERSION,
                worker: self.worker.clone(),
                ..WorkerTally::default()
            },
            is_changed: false,
            written_at: Instant::now(),
        });
        let tally = &mut batch.tally;
        match event.kind {
            JobEventKind::Started { .. } => tally.running += 1,
            JobEventKind::Stopped { .. } => tally.running = tally.running.saturating_sub(1),
            JobEventKind::Done(done) if done.first => {
                tally.done += 1;
                tally.up_to_date += u64::from(done.up_to_date);
                tally.audio_seconds += done.audio_seconds;
                tally.cpu_seconds += done.cpu_seconds;
            }
            JobEventKind::Failed { failure, first: true, .. } => {
                *tally.failed.entry(failure.code.as_str().to_owned()).or_default() += 1;
            }
            JobEventKind::Retried { failure, delay, .. } => {
                tally.retried += 1;
                tally.last_setback = Some(setback(failure, *delay));
            }
            JobEventKind::Postponed { failure } => {
                tally.last_setback = Some(setback(failure, POSTPONED));
            }
            _ => return,
        }
        batch.is_changed = true;
    }

    /// Writes counts until the call is cancelled.
    pub(crate) async fn keep_writing(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.write().await;
        }
    }

    /// Writes the counts that have changed.
    pub(crate) async fn write(&self) {
        for (records, name, tally) in self.due() {
            if let Err(error) = self.ledger.write_tally(&records, &name, &tally).await {
                let error = Chain(&error).to_string();
                tracing::warn!(error, "cannot write the counts of a batch");
                if let Some(batch) = lock(&self.batches).get_mut(&records) {
                    batch.is_changed = true;
                }
            }
        }
    }

    fn due(&self) -> Vec<(String, String, WorkerTally)> {
        let mut batches = lock(&self.batches);
        batches.retain(|_, batch| {
            batch.is_changed || batch.tally.running > 0 || batch.written_at.elapsed() < FORGOTTEN
        });
        let due = batches.iter_mut().filter(|(_, batch)| {
            batch.is_changed || (batch.tally.running > 0 && batch.written_at.elapsed() >= ALIVE)
        });
        due.map(|(records, batch)| {
            batch.is_changed = false;
            batch.written_at = Instant::now();
            batch.tally.at = now();
            (records.clone(), batch.name.clone(), batch.tally.clone())
        })
        .collect()
    }
}

fn setback(failure: &Failure, delay: Duration) -> Setback {
    let next_try =
        time::OffsetDateTime::now_utc().saturating_add(delay.try_into().unwrap_or_default());
    Setback::new(failure, now(), rfc3339(next_try))
}
