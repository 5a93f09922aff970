//! What submitters write about a batch, and what `status` reads.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use job::{Batch, BatchId, Failed, RECORDS_VERSION, Submission};
use location::Location;
use store::{Condition, Stores};

use crate::{
    BatchControl, Error, SubmissionLedger,
    control::ControlRecord,
    control_of,
    manifest::{self, MAX_PART_BYTES},
    names::{self, Names},
    records,
    state::{State, number_of},
};

/// Failure records that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The records of one batch.
#[derive(Debug, Clone)]
pub struct BatchLedger {
    stores: Arc<Stores>,
    names: Names,
}

impl BatchLedger {
    /// Returns the ledger of the batch whose transcripts have the prefix `output`.
    pub fn new(stores: Arc<Stores>, output: &Location, batch: &BatchId) -> Self {
        Self { stores, names: Names::under(output, batch) }
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the prefix of the records, for [`job::Job::records`].
    pub fn prefix(&self) -> &str {
        self.names.prefix()
    }

    /// Reads the record of the batch; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if another version has written it.
    pub async fn batch(&self) -> Result<Option<Batch>, Error> {
        let uri = self.names.batch();
        let Some((body, _)) = records::get(&self.stores, &uri).await? else { return Ok(None) };
        let batch = Batch::from_slice(&body);
        batch.map(Some).map_err(|error| Error::Invalid { uri, source: error.into() })
    }

    /// Returns whether there is any record of the batch or of its jobs.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn has_records(&self) -> Result<bool, Error> {
        let all = format!("{}/", self.names.prefix());
        let (store, prefix) = self.stores.open(&all.parse()?)?;
        let mut objects = store.list(&prefix);
        Ok(objects.try_next().await?.is_some())
    }

    /// Writes the record of the batch.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write_batch(&self, batch: &Batch) -> Result<(), Error> {
        let body = batch.to_vec().into();
        records::put_bytes(&self.stores, &self.names.batch(), body, Condition::Always).await?;
        Ok(())
    }

    /// Writes the record of the batch, unless there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn create_batch(&self, batch: &Batch) -> Result<(), Error> {
        let body = batch.to_vec().into();
        let uri = self.names.batch();
        records::put_bytes(&self.stores, &uri, body, Condition::IfAbsent).await.map(drop)
    }

    /// Returns what workers do with the jobs of the batch.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if the record is damaged.
    pub async fn control(&self) -> Result<BatchControl, Error> {
        control_of(&self.stores, &self.names).await
    }

    /// Pauses, cancels or resumes the batch. Workers notice it within seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn set_control(&self, state: BatchControl) -> Result<(), Error> {
        let uri = self.names.control();
        if state == BatchControl::Active {
            return records::delete(&self.stores, &uri).await;
        }
        let record = ControlRecord { version: RECORDS_VERSION, state };
        records::put(&self.stores, &uri, &record, Condition::Always).await.map(drop)
    }

    /// Lists the records of all jobs.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn state(&self) -> Result<State, Error> {
        let (stores, names) = (&*self.stores, &self.names);
        let mut state = State::default();
        // In the order in which jobs change state, so that a job that changes state between two
        // listings is not missed.
        records::list(stores, &names.all_resubmitted(), |job, generation| {
            state.add_resubmitted(job, generation);
        })
        .await?;
        records::list(stores, &names.all_running(), |job, _| state.add_running(job)).await?;
        records::list(stores, &names.all_failed(), |job, generation| {
            state.add_failed(job, generation);
        })
        .await?;
        records::list(stores, &names.all_done(), |job, _| state.add_done(job)).await?;
        state.sort();
        Ok(state)
    }

    /// Reads up to `limit` records of the failures in `state`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn failures(&self, state: &State, limit: usize) -> Result<Vec<Failed>, Error> {
        let failures = state.failures();
        let mut names: Vec<_> =
            failures.map(|(job, generation)| self.names.failed(&job, generation)).collect();
        names.sort_unstable();
        names.truncate(limit);
        futures::stream::iter(names)
            .map(|uri| async move { self.failure(&uri).await })
            .buffered(CONCURRENT_READS)
            .try_filter_map(|found| async { Ok(found) })
            .try_collect()
            .await
    }

    /// Reads up to `limit` records of failures that still count, of a batch whose records are not listed
    /// completely.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn some_failures(&self, limit: usize) -> Result<Vec<Failed>, Error> {
        let (store, prefix) = self.stores.open(&self.names.all_failed().parse()?)?;
        store
            .list(&prefix)
            .map_err(Error::from)
            .map_ok(|object| async move {
                let (job, generation) = names::parse(&object.key);
                let again = generation.saturating_add(1);
                for gone in [self.names.done(job), self.names.resubmitted(job, again)] {
                    if records::exists(&self.stores, &gone).await? {
                        return Ok(None);
                    }
                }
                self.failure(&self.names.failed(job, generation)).await
            })
            .try_buffered(CONCURRENT_READS)
            .try_filter_map(|found| async { Ok(found) })
            .take(limit)
            .try_collect()
            .await
    }

    /// Reads the record of a failure; `None` if there is none.
    pub(crate) async fn failure(&self, uri: &str) -> Result<Option<Failed>, Error> {
        let Some((body, _)) = records::get(&self.stores, uri).await? else { return Ok(None) };
        records::parse(uri, &body).map(Some)
    }

    /// Counts the jobs of all submissions, each once, as far as a manifest names them: batches of the
    /// first version have none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn count_submitted(&self) -> Result<u64, Error> {
        let (store, prefix) = self.stores.open(&self.names.manifests().parse()?)?;
        // 16 bytes for a job: a batch may have millions.
        let mut ids = Vec::new();
        let mut parts = store.list(&prefix);
        while let Some(part) = parts.try_next().await? {
            let (_, body) = store.get(&part.key, MAX_PART_BYTES).await?;
            let (jobs, _) = manifest::parse(&part.key, &body)?;
            ids.extend(jobs.iter().filter_map(|job| number_of(&job.id)));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.len() as u64)
    }

    /// Returns the submissions of the batch that are not complete, in the order in which they began.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if another version has written a record.
    pub async fn unfinished(&self) -> Result<Vec<Submission>, Error> {
        let (store, prefix) = self.stores.open(&self.names.submissions().parse()?)?;
        let mut ids = Vec::new();
        let mut records = store.list(&prefix);
        while let Some(record) = records.try_next().await? {
            let id = record.key.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.map(str::to_owned));
        }
        let read = futures::stream::iter(ids).map(|id| async move {
            if self.submission(&id).published().await?.complete {
                return Ok(None);
            }
            let uri = self.names.submission(&id);
            let Some((body, _)) = records::get(&self.stores, &uri).await? else { return Ok(None) };
            let submission = Submission::from_slice(&body);
            submission.map(Some).map_err(|error| Error::Invalid { uri, source: error.into() })
        });
        read.buffered(CONCURRENT_READS)
            .try_filter_map(|found| async { Ok(found) })
            .try_collect()
            .await
    }

    /// Returns the records of the submission named `id`.
    pub fn submission(&self, id: &str) -> SubmissionLedger {
        SubmissionLedger::new(self.stores.clone(), self.names.clone(), id)
    }
}
