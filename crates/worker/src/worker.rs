use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use job::{Done, Failed, Failure, FailureCode, FailureKind, Job, Records, Running};
use location::Location;
use queue::{Lease, Queue, Reason};
use serde::{Deserialize, Serialize};
use speech::pipeline::Control;
use store::PutOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use transcript::Format;

use crate::{
    convert,
    failure::{failure, output_failure},
    now,
    transcriber::{Assignment, Completed, Transcriber, Transcription},
};

/// How the loop behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Names this worker in records and logs; empty: host name and process id.
    pub name: String,
    /// Prefixes whose stores are probed before the first lease; the worker waits for them.
    pub probe: Vec<String>,
    /// Jobs leased at a time; 0: one more than the cores, so that none idles while a job fetches.
    pub jobs: u16,
    /// Seconds until a transient failure is tried again, by attempt; after the last, the job is a
    /// dead letter.
    pub retry_delays: Vec<u64>,
    /// Deliveries without an end (the worker died with the job) after which it is a dead letter.
    pub max_redeliveries: u32,
    /// Seconds that jobs in flight get to finish after SIGTERM, before they go back to the queue.
    pub drain_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            probe: Vec::new(),
            jobs: 0,
            retry_delays: vec![10, 60, 600, 3600, 3600],
            max_redeliveries: 10,
            drain_seconds: 25,
        }
    }
}

/// What a worker did until it was drained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub done: u64,
    pub retried: u64,
    pub failed: u64,
    pub released: u64,
}

/// Leases jobs and does them until it is told to drain.
pub struct Worker {
    queue: Arc<dyn Queue>,
    shared: Arc<Shared>,
    in_flight: u16,
}

/// What all jobs in flight share.
struct Shared {
    name: String,
    transcriber: Transcriber,
    options: Options,
    controls: Mutex<HashMap<u64, Arc<Control>>>,
    summary: Mutex<Summary>,
}

impl Worker {
    /// `cores`: width of the compute pool under the transcriber.
    pub fn new(
        queue: Arc<dyn Queue>,
        transcriber: Transcriber,
        options: Options,
        cores: usize,
    ) -> Self {
        let in_flight = match options.jobs {
            0 => u16::try_from(cores + 1).unwrap_or(u16::MAX),
            jobs => jobs,
        };
        let shared = Shared {
            name: options.name.clone(),
            transcriber,
            options,
            controls: Mutex::default(),
            summary: Mutex::default(),
        };
        Self { queue, shared: Arc::new(shared), in_flight }
    }

    /// Runs until `drain` is cancelled and the jobs in flight are settled.
    pub async fn run(self, drain: CancellationToken) -> Result<Summary, queue::Error> {
        let mut consumer = self.queue.consume(self.in_flight).await?;
        tracing::info!(worker = self.shared.name, in_flight = self.in_flight, "leasing jobs");
        let mut jobs = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => log_panic(ended),
                lease = consumer.next() => {
                    let Some(lease) = lease else { break };
                    number += 1;
                    let shared = Arc::clone(&self.shared);
                    jobs.spawn(async move { shared.settle(number, lease).await });
                }
            }
        }
        tracing::info!(in_flight = jobs.len(), "draining: no more leases");
        consumer.stop().await;
        self.shared.finish(jobs).await;
        let summary = self.shared.summary();
        tracing::info!(?summary, "drained");
        Ok(summary)
    }
}

impl Shared {
    /// Lets jobs in flight finish within the time there is, then interrupts them.
    async fn finish(&self, mut jobs: JoinSet<()>) {
        let grace = Duration::from_secs(self.options.drain_seconds);
        let all = async {
            while let Some(ended) = jobs.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(grace, all).await.is_ok() {
            return;
        }
        tracing::warn!(in_flight = jobs.len(), "drain time is over: interrupting jobs");
        self.interrupt_all();
        while let Some(ended) = jobs.join_next().await {
            log_panic(ended);
        }
    }

    fn interrupt_all(&self) {
        let controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        controls.values().for_each(|control| control.interrupt());
    }

    /// Does one leased job and settles the lease, whatever happens.
    async fn settle(&self, number: u64, lease: Box<dyn Lease>) {
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
            let control = Arc::new(Control::default());
            self.controls
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(number, Arc::clone(&control));
            let verdict = self.verdict(&message, lease.redeliveries(), &control).await;
            self.controls.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            self.carry_out(verdict, lease).await;
        }
        .instrument(span)
        .await;
    }

    async fn carry_out(&self, verdict: Verdict, lease: Box<dyn Lease>) {
        let (name, result) = match verdict {
            Verdict::Done => {
                self.count(|summary| summary.done += 1);
                ("ack", lease.ack().await)
            }
            Verdict::Retry(delay) => {
                self.count(|summary| summary.retried += 1);
                ("retry", lease.retry(delay).await)
            }
            Verdict::Dead(reason) => {
                self.count(|summary| summary.failed += 1);
                ("dead_letter", lease.dead_letter(reason).await)
            }
            Verdict::Release => {
                self.count(|summary| summary.released += 1);
                ("release", lease.release().await)
            }
        };
        if let Err(error) = result {
            // The broker gives the job to somebody, who will find the transcript, or make it.
            tracing::warn!(%error, settle = name, "the lease was lost before it was settled");
        }
    }

    fn count(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.summary.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn summary(&self) -> Summary {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the job and its records, and says how to settle the lease.
    async fn verdict(
        &self,
        message: &queue::Message,
        redeliveries: u32,
        control: &Arc<Control>,
    ) -> Verdict {
        let job = match Job::from_slice(&message.body) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, "not a job");
                return Verdict::dead(FailureCode::JobInvalid, error);
            }
        };
        let span = tracing::Span::current();
        span.record("batch", job.batch.as_str());
        span.record("recording", &job.source);
        let attempts = message.attempt + 1;
        let result = if redeliveries > self.options.max_redeliveries {
            let message = format!("{redeliveries} workers were lost while they held this job");
            Err(failure(FailureCode::WorkerLost, &job.source, message))
        } else {
            self.transcribe(&job, control).await
        };
        let failure = match result {
            Ok(()) => return Verdict::Done,
            Err(failure) => failure,
        };
        match failure.code.kind() {
            FailureKind::Interrupted => {
                tracing::info!("interrupted: back to the queue");
                Verdict::Release
            }
            FailureKind::Transient if message.attempt < self.max_retries() => {
                let delay =
                    Duration::from_secs(self.options.retry_delays[message.attempt as usize]);
                tracing::warn!(%failure, ?delay, "failed, to be tried again");
                Verdict::Retry(delay)
            }
            kind => {
                tracing::error!(%failure, attempts, "failed");
                let record = self.failed_record(&job, &failure, attempts);
                if let Err(error) = self.record_failure(&job, &record).await {
                    tracing::warn!(error = format!("{error:#}"), "cannot write the error record");
                    // Worth waiting for, but never at the price of a job that goes round for ever.
                    if error.is_transient() && message.attempt < self.max_retries() {
                        let delay = self.options.retry_delays[message.attempt as usize];
                        return Verdict::Retry(Duration::from_secs(delay));
                    }
                }
                let detail = match kind {
                    FailureKind::Transient => format!("{failure} (after {attempts} attempts)"),
                    _ => failure.to_string(),
                };
                Verdict::dead(failure.code, detail)
            }
        }
    }

    fn max_retries(&self) -> u32 {
        u32::try_from(self.options.retry_delays.len()).unwrap_or(u32::MAX)
    }

    async fn transcribe(&self, job: &Job, control: &Arc<Control>) -> Result<(), Failure> {
        let invalid = |error: store::Error| output_failure(&error, &job.source);
        let location = |uri: &str| uri.parse::<Location>().map_err(|error| invalid(error.into()));
        let output = location(&job.output)?;
        let assignment = Assignment {
            source: location(&job.source)?,
            output: Some(output.clone()),
            formats: job.options.formats.iter().copied().map(convert::format).collect(),
            preset: job.options.model.clone(),
            channels: job.options.channels.map(convert::channel_mode),
            options: convert::pipeline_options(&job.options),
        };
        let running =
            Running { source: job.source.clone(), worker: self.name.clone(), started_at: now() };
        let records = Records::at(job.records.clone());
        self.put_record(&records.running(&job.id), &running).await.map_err(invalid)?;
        let transcription = self.transcriber.transcribe(&assignment, control).await?;
        let done = self.done_record(job, &output, &transcription);
        self.put_record(&records.done(&job.id), &done).await.map_err(invalid)?;
        // A failure of an earlier attempt, or of an earlier submission, is history now.
        let stale = [records.running(&job.id), records.failed(&job.id), job.error_record()];
        for uri in &stale {
            if let Err(error) = self.delete_record(uri).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot delete a record that is out of date"
                );
            }
        }
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

    fn done_record(&self, job: &Job, output: &Location, transcription: &Transcription) -> Done {
        let up_to_date = transcription.completed == Completed::UpToDate;
        let processing = &transcription.transcript.processing;
        Done {
            source: job.source.clone(),
            transcript: format!("{output}.{}", Format::Json.extension()),
            up_to_date,
            audio_seconds: transcription.transcript.source.duration,
            cpu_seconds: if up_to_date { 0.0 } else { processing.cpu_seconds },
            worker: self.name.clone(),
            finished_at: now(),
        }
    }

    fn failed_record(&self, job: &Job, failure: &Failure, attempts: u32) -> Failed {
        Failed {
            job: job.id.clone(),
            batch: job.batch.clone(),
            failure: failure.clone(),
            remedy: failure.code.remedy().to_owned(),
            attempts,
            worker: self.name.clone(),
            failed_at: now(),
        }
    }

    async fn record_failure(&self, job: &Job, record: &Failed) -> Result<(), store::Error> {
        let records = Records::at(job.records.clone());
        self.put_record(&job.error_record(), record).await?;
        self.put_record(&records.failed(&job.id), record).await?;
        self.delete_record(&records.running(&job.id)).await
    }

    async fn put_record<R: Serialize + Sync>(
        &self,
        uri: &str,
        record: &R,
    ) -> Result<(), store::Error> {
        let (store, key) = self.transcriber.stores().open(&uri.parse()?)?;
        // Records are plain structs of strings and numbers: they always serialize.
        let body = Bytes::from(serde_json::to_vec(record).unwrap_or_default());
        let options =
            PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
        store.put(&key, body, options).await.map(drop)
    }

    async fn delete_record(&self, uri: &str) -> Result<(), store::Error> {
        let (store, key) = self.transcriber.stores().open(&uri.parse()?)?;
        store.delete(&key).await
    }
}

/// How to settle a lease.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Retry(Duration),
    Dead(Reason),
    Release,
}

impl Verdict {
    fn dead(code: FailureCode, detail: impl ToString) -> Self {
        Self::Dead(Reason { code: code.as_str().to_owned(), detail: detail.to_string() })
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // Its lease was dropped, and so released.
        tracing::error!(%error, "a job's task panicked");
    }
}
