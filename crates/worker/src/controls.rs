//! Which batches are paused or cancelled, as far as this worker has to know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use errors::Chain;
use job::Job;
use ledger::{BatchControl, Ledger};
use tokio::time::{Instant, sleep};

use crate::lock;

/// How long an answer of the ledger holds for jobs that are leased.
const FRESH: Duration = Duration::from_secs(1);
/// How often a running job looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// After this time, a batch without jobs here is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Asks the ledger, at most once a second for each batch.
pub(crate) struct Controls {
    ledger: Ledger,
    batches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

#[derive(Debug, Default)]
struct Known {
    control: BatchControl,
    at: Option<Instant>,
}

impl Controls {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, batches: Mutex::default() }
    }

    /// Returns what is to be done with the jobs of the job's batch. If the ledger does not say, what it
    /// said last: a store that does not answer must not stop what is allowed to run.
    pub(crate) async fn of(&self, job: &Job) -> BatchControl {
        if job.batch.is_none() {
            return BatchControl::Active;
        }
        let batch = self.batch(&job.records_prefix());
        // Held while asking, so that jobs of one batch ask once.
        let mut known = batch.lock().await;
        if known.at.is_none_or(|at| at.elapsed() >= FRESH) {
            match self.ledger.control(job).await {
                Ok(control) => known.control = control,
                Err(error) => {
                    let error = Chain(&error).to_string();
                    tracing::warn!(error, "cannot read whether the batch is paused or cancelled");
                }
            }
            known.at = Some(Instant::now());
        }
        known.control
    }

    /// Waits until the job's batch is paused or cancelled; for ever if it has none.
    pub(crate) async fn stopped(&self, job: &Job) -> BatchControl {
        if job.batch.is_none() {
            return std::future::pending().await;
        }
        loop {
            sleep(WATCH_INTERVAL).await;
            let control = self.of(job).await;
            if control != BatchControl::Active {
                return control;
            }
        }
    }

    fn batch(&self, records: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let mut batches = lock(&self.batches);
        batches.retain(|_, batch| {
            batch
                .try_lock()
                .map_or(true, |known| known.at.is_none_or(|at| at.elapsed() < FORGOTTEN))
        });
        Arc::clone(batches.entry(records.to_owned()).or_default())
    }
}
