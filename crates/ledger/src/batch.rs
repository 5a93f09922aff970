//! What submitters write about a batch, and what `status` reads.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use job::{Batch, BatchId, Failed, Job, RECORDS_VERSION};
use location::Location;
use serde::{Deserialize, Serialize};
use store::{Condition, ErrorKind, Stores};

use crate::{
    BatchControl, Error, control::ControlRecord, control_of, names::Names, records, tally::State,
};

/// Jobs in one part of a manifest.
const JOBS_PER_PART: usize = 10_000;
/// Largest part of a manifest that is read: every line has an id and a URI of up to 1024 bytes.
const MAX_PART_BYTES: u64 = 64 << 20;
/// Failure records that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The records of one batch.
#[derive(Debug, Clone)]
pub struct BatchLedger {
    stores: Arc<Stores>,
    names: Names,
}

/// One line of a manifest.
#[derive(Debug, Serialize, Deserialize)]
struct ManifestLine {
    id: String,
    source: String,
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

    /// Returns the prefix of the records, for [`Job::records`].
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
            State::insert_last(&mut state.resubmitted, job, generation);
        })
        .await?;
        records::list(stores, &names.all_running(), |job, _| {
            state.running.insert(job.to_owned());
        })
        .await?;
        records::list(stores, &names.all_failed(), |job, generation| {
            State::insert_last(&mut state.failed, job, generation);
        })
        .await?;
        records::list(stores, &names.all_done(), |job, _| {
            state.done.insert(job.to_owned());
        })
        .await?;
        Ok(state)
    }

    /// Reads up to `limit` records of the failures in `state`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn failures(&self, state: &State, limit: usize) -> Result<Vec<Failed>, Error> {
        let mut names: Vec<_> =
            state.failures().map(|(job, generation)| self.names.failed(job, generation)).collect();
        names.sort_unstable();
        names.truncate(limit);
        let read = futures::stream::iter(names).map(|uri| async move {
            match records::get(&self.stores, &uri).await? {
                Some((body, _)) => records::parse::<Failed>(&uri, &body).map(Some),
                None => Ok(None),
            }
        });
        read.buffered(CONCURRENT_READS)
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
        let names =
            store.list(&prefix).try_filter_map(|object| async move { Ok(Some(object.key)) });
        let read = names.map_err(Error::from).map_ok(|key| async {
            let (store, key) = (&store, key);
            let record = match store.get(&key, records::MAX_RECORD_BYTES).await {
                Ok((_, body)) => records::parse::<Failed>(&key, &body)?,
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let is_done = records::exists(&self.stores, &self.names.done(&record.job)).await?;
            Ok((!is_done).then_some(record))
        });
        read.try_buffered(CONCURRENT_READS)
            .try_filter_map(|found| async { Ok(found) })
            .take(limit)
            .try_collect()
            .await
    }

    /// Returns the ids of all jobs that were submitted, as far as a manifest names them: batches of
    /// the first version have none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn submitted(&self) -> Result<HashSet<String>, Error> {
        let (store, prefix) = self.stores.open(&self.names.manifests().parse()?)?;
        let mut ids = HashSet::new();
        let mut parts = store.list(&prefix);
        while let Some(part) = parts.try_next().await? {
            let (_, body) = store.get(&part.key, MAX_PART_BYTES).await?;
            for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                ids.insert(records::parse::<ManifestLine>(&part.key, line)?.id);
            }
        }
        Ok(ids)
    }

    /// Begins a submission named `name`, which no other submission of the batch has.
    pub fn submission(&self, name: impl Into<String>) -> Submission {
        Submission { ledger: self.clone(), name: name.into(), part: 0, lines: Vec::new(), jobs: 0 }
    }
}

/// The list of jobs of one submission. A part of it is written before its jobs are published, so
/// that a submission that breaks off leaves no job that nobody knows.
#[derive(Debug)]
pub struct Submission {
    ledger: BatchLedger,
    name: String,
    part: u32,
    lines: Vec<u8>,
    /// Jobs in `lines`.
    jobs: usize,
}

impl Submission {
    /// Adds a job to the list. Returns whether a part is full and must be written
    /// ([`Submission::write`]).
    pub fn add(&mut self, job: &Job) -> bool {
        let line = ManifestLine { id: job.id.clone(), source: job.source.clone() };
        // Two strings can always be represented in JSON.
        self.lines.extend(serde_json::to_vec(&line).unwrap_or_default());
        self.lines.push(b'\n');
        self.jobs += 1;
        self.jobs >= JOBS_PER_PART
    }

    /// Writes the part of the list that has not been written.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write(&mut self) -> Result<(), Error> {
        if self.jobs == 0 {
            return Ok(());
        }
        let uri = self.ledger.names.manifest(&self.name, self.part);
        let body = std::mem::take(&mut self.lines).into();
        records::put_bytes(&self.ledger.stores, &uri, body, Condition::Always).await?;
        self.part += 1;
        self.jobs = 0;
        Ok(())
    }
}
