//! Runs one leased job and settles its lease.

use std::sync::{Arc, Mutex, PoisonError};

use errors::Chain;
use job::{Failure, FailureCode, Job};
use queue::{Lease, Message};
use speech::pipeline::Session;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::settle::{RetryPolicy, Settlement};
use crate::{
    Summary, Transcriber, TranscriptionRequest, WorkerConfig,
    failure::{failure, output_failure},
    interruptible,
    records::RecordWriter,
};

/// Runs jobs. All jobs in flight share it.
pub(crate) struct JobRunner {
    transcriber: Transcriber,
    records: RecordWriter,
    policy: RetryPolicy,
    /// Interrupts all jobs in flight.
    interrupt: CancellationToken,
    summary: Mutex<Summary>,
}

impl JobRunner {
    pub(crate) fn new(
        transcriber: Transcriber,
        config: &WorkerConfig,
        interrupt: CancellationToken,
    ) -> Self {
        let records = RecordWriter::new(Arc::clone(transcriber.stores()), config.name.clone());
        let policy = RetryPolicy::new(config);
        Self { transcriber, records, policy, interrupt, summary: Mutex::default() }
    }

    /// Runs a leased job and settles its lease, whatever happens.
    pub(crate) async fn run(&self, lease: Box<dyn Lease>) {
        let message = lease.message().clone();
        let span = tracing::info_span!(
            "job",
            job = message.id,
            batch = tracing::field::Empty,
            recording = tracing::field::Empty,
            attempt = message.attempt,
            redeliveries = lease.redeliveries(),
        );
        async {
            let settlement = self.process(&message, lease.redeliveries()).await;
            self.settle(settlement, lease).await;
        }
        .instrument(span)
        .await;
    }

    pub(crate) fn summary(&self) -> Summary {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes the job, writes its records, and decides how its lease ends.
    async fn process(&self, message: &Message, redeliveries: u32) -> Settlement {
        let job = match Job::from_slice(&message.body) {
            Ok(job) => job,
            Err(error) => {
                let error = Chain(&error).to_string();
                tracing::error!(error, "not a valid job");
                return Settlement::dead_letter(FailureCode::JobInvalid, error);
            }
        };
        let span = tracing::Span::current();
        span.record("batch", job.batch.as_str());
        span.record("recording", &job.source);
        let result = match self.policy.worker_lost(redeliveries) {
            Some(message) => Err(failure(FailureCode::WorkerLost, &job.source, message)),
            None => self.complete(&job).await,
        };
        match result {
            Ok(()) => Settlement::Ack,
            Err(failure) => self.fail(&job, &failure, message.attempt).await,
        }
    }

    /// Transcribes the job's recording and records that the job is done.
    async fn complete(&self, job: &Job) -> Result<(), Failure> {
        let unrecorded = |error: store::Error| output_failure(&error, &job.source);
        let request = TranscriptionRequest::from_job(job)?;
        self.records.start(job).await.map_err(unrecorded)?;
        let session = Arc::new(Session::default());
        let work = self.transcriber.transcribe(&request, &session);
        let transcription = interruptible(work, &session, &self.interrupt).await?;
        let done = self.records.done(job, &transcription).await.map_err(unrecorded)?;
        let processing = &transcription.transcript.processing;
        tracing::info!(
            up_to_date = done.up_to_date,
            audio_seconds = done.audio_seconds,
            cpu_seconds = done.cpu_seconds,
            audio_seconds_per_core_second = processing.audio_seconds_per_core_second,
            transcript = done.transcript,
            "done"
        );
        Ok(())
    }

    /// Decides how the lease of a failed job ends, and records the failure if the job is given up.
    async fn fail(&self, job: &Job, failure: &Failure, attempt: u32) -> Settlement {
        let attempts = attempt + 1;
        let settlement = self.policy.settle(failure, attempt);
        match &settlement {
            Settlement::Release => tracing::info!("interrupted: back to the queue"),
            Settlement::Retry(delay) => {
                tracing::warn!(%failure, ?delay, "failed, to be retried");
            }
            Settlement::Ack | Settlement::DeadLetter(_) => {
                tracing::error!(%failure, attempts, "failed");
                if let Err(error) = self.records.failed(job, failure, attempts).await {
                    tracing::warn!(error = format!("{error:#}"), "cannot write the failure record");
                    let transient = error.is_transient();
                    return self.policy.settle_without_record(settlement, transient, attempt);
                }
            }
        }
        settlement
    }

    async fn settle(&self, settlement: Settlement, lease: Box<dyn Lease>) {
        let (name, result) = match settlement {
            Settlement::Ack => {
                self.count(|summary| summary.done += 1);
                ("ack", lease.ack().await)
            }
            Settlement::Retry(delay) => {
                self.count(|summary| summary.retried += 1);
                ("retry", lease.retry(delay).await)
            }
            Settlement::DeadLetter(reason) => {
                self.count(|summary| summary.failed += 1);
                ("dead_letter", lease.dead_letter(reason).await)
            }
            Settlement::Release => {
                self.count(|summary| summary.released += 1);
                ("release", lease.release().await)
            }
        };
        if let Err(error) = result {
            // The broker redelivers the job to another worker, which finds the transcript or makes
            // it.
            tracing::warn!(
                error = format!("{error:#}"),
                settle = name,
                "the lease was lost before it was settled"
            );
        }
    }

    fn count(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.summary.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
