//! The records of a batch: which jobs there are, which run, and how each one ended.
//!
//! This crate is their only author and reader. [`Ledger`] is what workers write, [`BatchLedger`] what
//! submitters write and `status` reads. The records are objects next to the transcripts
//! (`docs/jobs.md`), so no database is needed.
//!
//! # Outcomes
//!
//! A job is done, or it failed in a generation. A generation is one submission of the job; a failure
//! ends only its own, and a success ends all. Several workers may hold the same job at the same time,
//! because delivery is at least once. The order of the writes below keeps their records consistent
//! without a lock: whoever writes a failure looks for a success before and after it, and whoever
//! writes a success removes the error record afterwards. So a failure never follows a success, in
//! whatever order the two write, and also where the store honours no conditions: there, the second of
//! two equal records replaces the first.
//!
//! # Jobs without a batch
//!
//! A job without a batch has no record of its outcome but `<output>.error.json`. While it runs, it has the same
//! records as others, so that the death of its worker is noticed. Two copies of its message are two jobs: one of
//! them may fail after the other is done.
//!
//! # Checkpoints
//!
//! While a job runs for long, its worker writes what it has computed so far ([`Checkpoints`]). They are
//! a cache: nothing depends on them, and they are deleted when the job ends.

mod batch;
mod checkpoint;
mod control;
mod error;
mod manifest;
mod names;
mod notification;
mod progress;
mod records;
mod results;
mod state;
mod submission;
mod tally;
#[cfg(feature = "test-util")]
pub mod untrusted;
mod worker_tally;

pub use self::{
    batch::BatchLedger,
    checkpoint::{CheckpointInput, Checkpoints, Loaded, MAX_CHECKPOINT_BYTES},
    control::BatchControl,
    error::Error,
    manifest::Part,
    progress::{Counted, Tallies},
    results::{JobResult, JobState},
    state::State,
    submission::SubmissionLedger,
    tally::Tally,
    worker_tally::{Setback, WorkerTally},
};

use std::sync::Arc;

use job::{Done, Failed, Job, RECORDS_VERSION, Running};
use store::{Condition, Stores};

use crate::names::Names;

/// Writes and reads the records of single jobs, in the name of workers.
#[derive(Debug, Clone)]
pub struct Ledger {
    stores: Arc<Stores>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done,
    Failed(Box<Failed>),
}

/// What became of the record of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureRecord {
    /// The job is done: its failure is not recorded.
    Done,
    /// The failure is how the job ended. `first`: no other was recorded before.
    Failed { first: bool },
}

impl Ledger {
    pub fn new(stores: Arc<Stores>) -> Self {
        Self { stores }
    }

    /// Returns how the job ended, in this generation or for good; `None` if it has not.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if the record of the failure is damaged.
    pub async fn outcome(&self, job: &Job, generation: u32) -> Result<Option<Outcome>, Error> {
        if self.is_done(job).await? {
            return Ok(Some(Outcome::Done));
        }
        if job.batch.is_none() {
            return Ok(None);
        }
        let uri = Names::of(job).failed(&job.key(), generation);
        let Some((body, _)) = records::get(&self.stores, &uri).await? else { return Ok(None) };
        Ok(Some(Outcome::Failed(records::parse(&uri, &body)?)))
    }

    /// Returns what is to be done with the jobs of the job's batch.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if the record is damaged.
    pub async fn control(&self, job: &Job) -> Result<BatchControl, Error> {
        if job.batch.is_none() {
            return Ok(BatchControl::Active);
        }
        control_of(&self.stores, &Names::of(job)).await
    }

    /// Returns whether the job is done.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn is_done(&self, job: &Job) -> Result<bool, Error> {
        if job.batch.is_none() {
            return Ok(false);
        }
        records::exists(&self.stores, &Names::of(job).done(&job.key())).await
    }

    /// Returns the record of the job's run with its version. There is one while the job runs, and
    /// after its worker died.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]. A damaged record is no error: it says nothing about its run.
    pub async fn running(&self, job: &Job) -> Result<Option<(Running, String)>, Error> {
        let uri = Names::of(job).running(&job.key());
        let found = records::get(&self.stores, &uri).await?;
        Ok(found.and_then(|(body, version)| Some((records::parse(&uri, &body).ok()?, version))))
    }

    /// Records that a worker runs the job, or still does. Returns the version of the record.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn start(&self, job: &Job, running: &Running) -> Result<String, Error> {
        let uri = Names::of(job).running(&job.key());
        let version = records::put(&self.stores, &uri, running, Condition::Always).await?;
        Ok(version.unwrap_or_default())
    }

    /// Records that the job is submitted again, so that an earlier failure is no longer its outcome.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn resubmit(&self, job: &Job, generation: u32) -> Result<(), Error> {
        if job.batch.is_some() {
            let uri = Names::of(job).resubmitted(&job.key(), generation);
            records::put(&self.stores, &uri, &generation, Condition::Always).await?;
        }
        records::delete(&self.stores, &job.error_record()).await
    }

    /// Records that the job no longer runs and has not ended: it waits for its next run.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn requeue(&self, job: &Job) -> Result<(), Error> {
        records::delete(&self.stores, &Names::of(job).running(&job.key())).await
    }

    /// Records that the job is done, and removes the record of its failure next to the transcript, perhaps of
    /// an earlier batch, unless there is none (`fresh`). The first record of a success stays. Returns whether
    /// it is this one. The record of the run stays until [`Ledger::requeue`].
    ///
    /// # Errors
    ///
    /// [`Error::Store`]. The job may be done nevertheless; the call may be repeated.
    pub async fn done(&self, job: &Job, done: &Done, fresh: bool) -> Result<bool, Error> {
        let first = match job.batch {
            Some(_) => {
                let uri = Names::of(job).done(&job.key());
                records::put(&self.stores, &uri, done, Condition::IfAbsent).await?.is_some()
            }
            None => true,
        };
        // After the record, so that a failure that is being written meanwhile either sees it or is
        // removed here.
        if !fresh {
            records::delete(&self.stores, &job.error_record()).await?;
        }
        Ok(first)
    }

    /// Removes the other records of a job that is done, in place of a worker that died between its
    /// requests.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn complete_done(&self, job: &Job) -> Result<(), Error> {
        records::delete(&self.stores, &job.error_record()).await?;
        self.requeue(job).await
    }

    /// Records that the job is given up, in the batch and next to the missing transcript, unless it is
    /// done.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]. The call may be repeated.
    pub async fn fail(&self, job: &Job, failed: &Failed) -> Result<FailureRecord, Error> {
        let names = Names::of(job);
        let mut recorded = FailureRecord::Done;
        if !self.is_done(job).await? {
            let first = match job.batch {
                Some(_) => {
                    let uri = names.failed(&job.key(), failed.generation);
                    records::create(&self.stores, &uri, failed).await?
                }
                None => true,
            };
            records::put(&self.stores, &job.error_record(), failed, Condition::Always).await?;
            recorded = FailureRecord::Failed { first };
            if self.is_done(job).await? {
                // Another worker has completed the job meanwhile, perhaps before the error record
                // was written.
                records::delete(&self.stores, &job.error_record()).await?;
                recorded = FailureRecord::Done;
            }
        }
        records::delete(&self.stores, &names.running(&job.key())).await?;
        Ok(recorded)
    }

    /// Counts failures of the batch with these records that count no more, because their jobs were
    /// submitted again.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn count_resubmitted(&self, records: &str, count: u64) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let tally =
            WorkerTally { version: RECORDS_VERSION, resubmitted: count, ..WorkerTally::default() };
        self.write_tally(records, &uuid::Uuid::now_v7().to_string(), &tally).await
    }

    /// Writes what a worker process, or a command, has counted of the batch with these records. `name` is
    /// its own.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write_tally(
        &self,
        records: &str,
        name: &str,
        tally: &WorkerTally,
    ) -> Result<(), Error> {
        let uri = Names::at(records).tally(name);
        records::put(&self.stores, &uri, tally, Condition::Always).await.map(drop)
    }
}

async fn control_of(stores: &Stores, names: &Names) -> Result<BatchControl, Error> {
    let uri = names.control();
    let Some((body, _)) = records::get(stores, &uri).await? else {
        return Ok(BatchControl::Active);
    };
    records::parse::<control::ControlRecord>(&uri, &body).map(|record| record.state)
}
