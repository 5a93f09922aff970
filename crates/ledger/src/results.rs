//! What became of each job of a batch, job by job.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use job::{Done, Failed};
use serde::Serialize;

use crate::{
    BatchLedger, Error,
    manifest::{self, MAX_PART_BYTES},
    records,
    state::{id_of, number_of},
};

/// Records that are read concurrently.
const CONCURRENT_READS: usize = 32;

/// State of a job, as far as it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Done,
    Failed,
    /// Queued or running, or dropped with its batch.
    Pending,
}

/// A job of a batch, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobResult {
    pub job: String,
    pub source: String,
    pub state: JobState,
    /// URI of the transcript without the extension of a format, if the manifest has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl BatchLedger {
    /// Calls `found` with each job of the batch, once, in the order of the manifests; then with jobs that are
    /// done or failed and in no manifest, because another program submitted them. Ends early if `found` returns an error. Takes some 50 bytes of memory for
    /// a job.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`], and what `found` returns.
    pub async fn results<E: From<Error>>(
        &self,
        mut found: impl FnMut(JobResult) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch = self.state().await?;
        let mut seen = HashSet::new();
        let open = || Ok::<_, Error>(self.stores().open(&self.names().manifests().parse()?)?);
        let (store, prefix) = open()?;
        let mut parts = store.list(&prefix);
        while let Some(part) = parts.try_next().await.map_err(Error::from)? {
            let (_, body) = store.get(&part.key, MAX_PART_BYTES).await.map_err(Error::from)?;
            let (jobs, _) = manifest::parse(&part.key, &body)?;
            for job in jobs {
                if number_of(&job.id).is_some_and(|id| !seen.insert(id)) {
                    continue;
                }
                let state = if batch.is_done(&job.id) {
                    JobState::Done
                } else if batch.failure(&job.id).is_some() {
                    JobState::Failed
                } else {
                    JobState::Pending
                };
                found(JobResult {
                    job: job.id,
                    source: job.source.to_string(),
                    state,
                    output: job.output,
                })?;
            }
        }
        let unlisted = batch.done().filter(|id| !seen.contains(id)).collect::<Vec<_>>();
        let mut read =
            stream::iter(unlisted).map(|id| self.done_record(id_of(id))).buffered(CONCURRENT_READS);
        while let Some((job, done)) = read.try_next().await? {
            let Some(Done { job: id, source, transcript, .. }) = done else { continue };
            let (job, output) = (id.unwrap_or(job), transcript.strip_suffix(".json"));
            let output = output.map(str::to_owned);
            found(JobResult { job, source, state: JobState::Done, output })?;
        }
        let is_unlisted = |job: &str| number_of(job).is_some_and(|number| !seen.contains(&number));
        let unlisted = batch.failures().filter(|(job, _)| is_unlisted(job)).collect::<Vec<_>>();
        let mut read = stream::iter(unlisted)
            .map(|(job, generation)| async move {
                self.failure(&self.names().failed(&job, generation)).await
            })
            .buffered(CONCURRENT_READS);
        while let Some(failed) = read.try_next().await? {
            let Some(Failed { job, failure, .. }) = failed else { continue };
            let (source, state, output) = (failure.source, JobState::Failed, None);
            found(JobResult { job, source, state, output })?;
        }
        Ok(())
    }

    async fn done_record(&self, job: String) -> Result<(String, Option<Done>), Error> {
        let uri = self.names().done(&job);
        let found = records::get(self.stores(), &uri).await?;
        let done = found.map(|(body, _)| records::parse(&uri, &body)).transpose()?;
        Ok((job, done))
    }
}
