//! The checkpoints of one run of a job: loads what earlier runs have computed, writes what this one
//! computes while it goes on, and notices when another worker has done the job.
//!
//! Checkpoints are a cache. No failure here is one of the job: what cannot be loaded is computed again,
//! what cannot be written waits for the next time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use errors::Chain;
use job::Job;
use ledger::{CheckpointInput, Ledger, Loaded};
use speech::pipeline::Session;
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    JobRunner, Plan,
    journal::{Amount, TaskJournal},
};
use crate::{Transcriber, TranscriptionRequest, delays, registry::Run};

/// Attempts to load the checkpoints from a store that does not answer. They may stand for hours.
const LOAD_ATTEMPTS: usize = 6;
const MIN_LOAD_DELAY: Duration = Duration::from_millis(250);
const MAX_LOAD_DELAY: Duration = Duration::from_secs(10);
/// Time to write the last checkpoint of a run, and of one that is interrupted because its worker
/// drains: the process ends soon after.
const LAST_WRITE: Duration = Duration::from_secs(20);
const LAST_WRITE_WHILE_DRAINING: Duration = Duration::from_millis(500);

/// The checkpoints of one run of a job.
pub(crate) struct RunCheckpoints<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) job: &'a Job,
    pub(super) run: &'a Run,
    /// Time between two checkpoints; `None`: there are none.
    pub(super) interval: Option<Duration>,
    /// The interruption of the run, which may be that of all jobs in flight.
    pub(super) interrupt: &'a CancellationToken,
    pub(super) journal: Arc<TaskJournal>,
    /// Where this run writes; `None` until it computes.
    pub(super) target: Mutex<Option<(CheckpointInput, ledger::Checkpoints)>>,
}

impl RunCheckpoints<'_> {
    /// Sets the journal of a session that is about to execute a plan. Loads what earlier runs have
    /// computed, if there may have been any: a job that is new costs no request. Returns the bytes that
    /// were loaded.
    pub(crate) async fn begin(&self, plan: &Plan, session: &Session) -> u64 {
        if self.interval.is_none() {
            return 0;
        }
        let mut bytes = 0;
        let input =
            CheckpointInput { etag: plan.meta.etag.clone(), fingerprint: plan.fingerprint.clone() };
        let checkpoints = self.ledger.checkpoints(self.job);
        if self.run.may_have_checkpoints()
            && let Some(loaded) = load(&checkpoints, &input, session).await
        {
            bytes = loaded.windows.iter().map(|window| window.len() as u64).sum();
            self.add(loaded);
        }
        session.set_journal(Arc::clone(&self.journal) as _);
        *self.target.lock().await = Some((input, checkpoints));
        bytes
    }

    fn add(&self, loaded: Loaded) {
        let Loaded { windows, checkpoints, ignored } = loaded;
        for (checkpoint, reason) in &ignored {
            tracing::info!(checkpoint, reason, "a checkpoint is not used");
        }
        let (Amount { windows, audio_seconds }, unreadable) = self.journal.add(windows);
        if unreadable > 0 {
            tracing::warn!(unreadable, "windows of a checkpoint cannot be read");
        }
        if windows > 0 {
            tracing::info!(checkpoints, windows, audio_seconds, "resuming from checkpoints");
        }
    }

    /// Writes what the run computes from time to time, until the run is `over`. Returns `true` as soon
    /// as another worker has done the job: this run is superfluous then.
    pub(crate) async fn keep(
        &self,
        over: &CancellationToken,
        transcriber: &Transcriber,
        request: &TranscriptionRequest,
    ) -> bool {
        let Some(interval) = self.interval else {
            over.cancelled().await;
            return false;
        };
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drains = false;
        loop {
            tokio::select! {
                biased;
                () = over.cancelled() => return false,
                () = self.interrupt.cancelled(), if !drains => drains = true,
                _ = ticks.tick() => {}
                () = self.journal.full() => {}
            }
            self.write().await;
            // After the write: if the job was done meanwhile, its checkpoints are deleted already, and
            // this one is deleted when this run ends.
            // The record alone may be of a recording that was replaced since.
            if !drains && self.is_done().await && transcriber.is_up_to_date(request).await {
                return true;
            }
        }
    }

    /// Writes what is left when the run has ended before the job was done.
    pub(crate) async fn finish(&self) {
        let draining = self.interrupt.is_cancelled();
        let patience = if draining { LAST_WRITE_WHILE_DRAINING } else { LAST_WRITE };
        let last = async {
            // Nobody may be left to delete it if another worker has done the job.
            if self.write().await && self.is_done().await {
                clear(self.ledger, self.job, self.run).await;
            }
        };
        if tokio::time::timeout(patience, last).await.is_err() {
            tracing::warn!("the last checkpoint of the run could not be written in time");
        }
    }

    /// Returns how much of the recording was recalled and not computed.
    pub(crate) fn recalled(&self) -> Amount {
        self.journal.recalled()
    }

    /// Writes what has not been written. Returns whether there was something.
    async fn write(&self) -> bool {
        let mut target = self.target.lock().await;
        let Some((input, checkpoints)) = &mut *target else { return false };
        let mut wrote = false;
        loop {
            let windows = self.journal.take();
            if windows.is_empty() {
                return wrote;
            }
            self.run.note_checkpoint();
            wrote = true;
            let start = Instant::now();
            if let Err(error) = checkpoints.write(input, &windows).await {
                let error = Chain(&error).to_string();
                tracing::warn!(error, "cannot write a checkpoint, trying again later");
                self.journal.put_back(windows);
                return wrote;
            }
            let bytes = windows.iter().map(Bytes::len).sum::<usize>();
            let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
            tracing::debug!(windows = windows.len(), bytes, milliseconds, "wrote a checkpoint");
        }
    }

    async fn is_done(&self) -> bool {
        self.ledger.is_done(self.job).await.unwrap_or_else(|error| {
            let error = Chain(&error).to_string();
            tracing::debug!(error, "cannot look whether the job is done");
            false
        })
    }
}

impl JobRunner {
    /// Deletes the checkpoints of a job that has ended, if there may be any.
    pub(super) async fn clear_checkpoints(&self, job: &Job, run: &Run) {
        if run.may_have_checkpoints() {
            clear(&self.ledger, job, run).await;
        }
    }
}

async fn clear(ledger: &Ledger, job: &Job, run: &Run) {
    match ledger.checkpoints(job).delete().await {
        Ok(0) => {}
        Ok(checkpoints) => tracing::debug!(checkpoints, "deleted the checkpoints of the job"),
        Err(error) => {
            run.note_leftover(&error, "cannot delete the checkpoints of a job that has ended");
        }
    }
}

/// Loads what earlier runs have written; waits a little for a store that does not answer.
async fn load(
    checkpoints: &ledger::Checkpoints,
    input: &CheckpointInput,
    session: &Session,
) -> Option<Loaded> {
    let mut delays = delays(MIN_LOAD_DELAY, MAX_LOAD_DELAY).take(LOAD_ATTEMPTS - 1);
    loop {
        let error = match checkpoints.load(input).await {
            Ok(loaded) => return Some(loaded),
            Err(error) => error,
        };
        let text = Chain(&error).to_string();
        let delay = delays.next().filter(|_| error.is_transient() && !session.is_interrupted());
        let Some(delay) = delay else {
            tracing::warn!(error = text, "cannot load checkpoints: everything is computed again");
            return None;
        };
        tracing::warn!(error = text, ?delay, "cannot load checkpoints, trying again");
        tokio::time::sleep(delay).await;
    }
}
