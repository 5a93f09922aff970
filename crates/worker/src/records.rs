//! Writes the records of jobs: running, done, failed. The one place in the worker that does.
//!
//! The planned ledger, which also writes and reads the batch's record, will replace this module.

use std::sync::Arc;

use bytes::Bytes;
use job::{Done, Failed, Failure, Job, Records, Running};
use location::Location;
use serde::Serialize;
use store::{ErrorKind, PutOptions, Stores};
use transcript::Format;

use crate::{Completed, Transcription, now};

/// Writes records in the name of one worker.
pub(crate) struct RecordWriter {
    stores: Arc<Stores>,
    worker: String,
}

impl RecordWriter {
    pub(crate) fn new(stores: Arc<Stores>, worker: String) -> Self {
        Self { stores, worker }
    }

    /// Records that this worker runs the job.
    pub(crate) async fn start(&self, job: &Job) -> Result<(), store::Error> {
        let running =
            Running { source: job.source.clone(), worker: self.worker.clone(), started_at: now() };
        self.put(&records(job).running(&job.id), &running).await
    }

    /// Records that the job is done, and deletes the records that this makes obsolete: the job's
    /// running record, and failures of earlier attempts or submissions.
    pub(crate) async fn done(
        &self,
        job: &Job,
        transcription: &Transcription,
    ) -> Result<Done, store::Error> {
        let output: Location = job.output.parse()?;
        let up_to_date = transcription.completed == Completed::UpToDate;
        let transcript = &transcription.transcript;
        let done = Done {
            source: job.source.clone(),
            transcript: format!("{output}.{}", Format::Json.extension()),
            up_to_date,
            audio_seconds: transcript.source.duration,
            cpu_seconds: if up_to_date { 0.0 } else { transcript.processing.cpu_seconds },
            worker: self.worker.clone(),
            finished_at: now(),
        };
        let records = records(job);
        self.put(&records.done(&job.id), &done).await?;
        for uri in [records.running(&job.id), records.failed(&job.id), job.error_record()] {
            if let Err(error) = self.delete(&uri).await {
                tracing::warn!(error = format!("{error:#}"), "cannot delete an obsolete record");
            }
        }
        Ok(done)
    }

    /// Records that the job is given up: next to the transcript and in the batch.
    pub(crate) async fn failed(
        &self,
        job: &Job,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), store::Error> {
        let failed = Failed {
            job: job.id.clone(),
            batch: job.batch.clone(),
            failure: failure.clone(),
            remedy: failure.code.remedy().to_owned(),
            attempts,
            worker: self.worker.clone(),
            failed_at: now(),
        };
        let records = records(job);
        self.put(&job.error_record(), &failed).await?;
        self.put(&records.failed(&job.id), &failed).await?;
        self.delete(&records.running(&job.id)).await
    }

    async fn put<R: Serialize + Sync>(&self, uri: &str, record: &R) -> Result<(), store::Error> {
        let (store, key) = self.stores.open(&uri.parse()?)?;
        let body = serde_json::to_vec(record).map_err(|error| {
            store::Error::new(ErrorKind::Other, "write", uri, "the record cannot be serialized")
                .with_source(error)
        })?;
        let options =
            PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
        store.put(&key, Bytes::from(body), options).await.map(drop)
    }

    async fn delete(&self, uri: &str) -> Result<(), store::Error> {
        let (store, key) = self.stores.open(&uri.parse()?)?;
        store.delete(&key).await
    }
}

fn records(job: &Job) -> Records {
    Records::at(job.records.clone())
}
