//! Runs one leased job and settles its lease.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use errors::Chain;
use job::{Done, Failed, Failure, FailureCode, Job, RECORDS_VERSION, Running};
use ledger::{Ledger, Outcome};
use location::Location;
use queue::{Counts, DeadLetterReason, Destination, Lane, Lease};
use speech::pipeline::Session;
use store::ErrorKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use transcript::Format;

use super::{
    keeper::{LeaseKeeper, acknowledge, forward},
    settle::{RetryPolicy, Verdict, dead_letter_reason},
    state::{Action, Admission, End, Event, Evidence, LeaseState, admit, is_suspect},
};
use crate::{
    Completed, Summary, Transcriber, Transcription, TranscriptionRequest, WorkerConfig,
    allowed::Allowed,
    breaker::Breaker,
    failure::{caused, failure, output_failure},
    gate::Gate,
    interruptible, now,
    registry::{Registered, Registry, Run},
};

/// Runs jobs. All jobs in flight share it.
pub(crate) struct JobRunner {
    transcriber: Transcriber,
    ledger: Ledger,
    allowed: Allowed,
    registry: Registry,
    gate: Gate,
    breaker: Breaker,
    policy: RetryPolicy,
    /// Name of this worker in records.
    worker: String,
    /// How long a message is held before it is parked.
    lease_time: Duration,
    /// After this time without progress, a run is given up.
    stall_time: Duration,
    /// Interrupts all jobs in flight.
    interrupt: CancellationToken,
    summary: Mutex<Summary>,
}

/// How the message of a job came to this worker.
struct Delivery {
    lane: Lane,
    /// Why the queue itself gave the message up.
    given_up: Option<DeadLetterReason>,
    redelivered: bool,
    counts: Counts,
}

impl JobRunner {
    pub(crate) fn new(
        transcriber: Transcriber,
        config: &WorkerConfig,
        lease_time: Duration,
        interrupt: CancellationToken,
    ) -> Result<Self, location::Error> {
        Ok(Self {
            allowed: Allowed::new(config)?,
            ledger: Ledger::new(Arc::clone(transcriber.stores())),
            transcriber,
            registry: Registry::default(),
            gate: Gate::default(),
            breaker: Breaker::default(),
            policy: RetryPolicy::new(config),
            worker: config.name.clone(),
            lease_time,
            stall_time: Duration::from_secs(config.stall_seconds),
            interrupt,
            summary: Mutex::default(),
        })
    }

    /// Runs a leased job and settles its lease, whatever happens.
    pub(crate) async fn run(&self, lease: Box<dyn Lease>) {
        let message = lease.message();
        let span = tracing::info_span!(
            "job",
            job = message.id,
            batch = tracing::field::Empty,
            recording = tracing::field::Empty,
            attempt = message.counts.attempts,
            redelivered = lease.is_redelivered(),
        );
        self.process(lease).instrument(span).await;
    }

    /// Returns the keys of the configuration that would limit what jobs may name, and do not.
    pub(crate) fn unlimited(&self) -> Vec<&'static str> {
        self.allowed.unlimited()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) fn summary(&self) -> Summary {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn process(&self, lease: Box<dyn Lease>) {
        let delivery = Delivery {
            lane: lease.lane(),
            given_up: lease.given_up(),
            redelivered: lease.is_redelivered(),
            counts: lease.message().counts.clone(),
        };
        let job = match Job::from_slice(&lease.message().body) {
            Ok(job) => job,
            Err(error) => {
                let detail = Chain(&error).to_string();
                tracing::error!(error = detail, "not a valid job");
                let code = FailureCode::JobInvalid.as_str().to_owned();
                let dead = Destination::Dead(DeadLetterReason { code, detail });
                self.count(|summary| summary.failed += 1);
                self.report(forward(vec![lease], &dead, &delivery.counts).await);
                return;
            }
        };
        let span = tracing::Span::current();
        span.record("batch", job.batch.as_str());
        span.record("recording", &job.source);
        match self.registry.enter(&job.id, lease) {
            Some(run) => self.handle(&job, &run, delivery).await,
            None => tracing::info!("the job runs already: its run adopts the lease"),
        }
    }

    /// Releases the jobs of all runs, which do not end: something stalls them.
    pub(crate) async fn release_all(&self) {
        let released = self.registry.end_all().into_iter().map(async |leases| {
            let Some(lease) = leases.last() else { return };
            let back = match lease.lane() {
                Lane::Quarantine => Destination::Quarantine,
                Lane::Jobs | Lane::Returned | Lane::Undelivered => Destination::Returned,
            };
            let counts = &lease.message().counts;
            let counts = Counts { releases: counts.releases.saturating_add(1), ..counts.clone() };
            self.count(|summary| summary.released += 1);
            self.report(forward(leases, &back, &counts).await);
        });
        futures::future::join_all(released).await;
    }

    /// Does what the job's message calls for.
    async fn handle(&self, job: &Job, run: &Registered<'_>, delivery: Delivery) {
        let Delivery { lane, .. } = delivery;
        if let Err(failure) = self.allowed.check(job) {
            return self.refuse(job, run, &delivery.counts, &failure).await;
        }
        let counts = Counts { seen: String::new(), ..delivery.counts.clone() };
        if let Some(reason) = &delivery.given_up {
            let failure = failure(FailureCode::WorkerLost, &job.source, reason.detail.clone());
            return self.give_up(job, run, &counts, &failure).await;
        }
        let admission = match self.admission(job, delivery).await {
            Ok(Some(admission)) => admission,
            Ok(None) => return self.give_back(run, counts).await,
            Err(error) => {
                return self.give_up(job, run, &counts, &unrecorded(&error, job)).await;
            }
        };
        match admission {
            Admission::Run { alone: false, attempts } => {
                let _together = self.gate.together().await;
                self.execute(job, run, Counts { attempts, ..counts }, false).await;
            }
            Admission::Run { alone: true, attempts } => {
                let counts = Counts { attempts, ..counts };
                tokio::select! {
                    alone = self.gate.alone() => {
                        self.execute(job, run, counts, true).await;
                        drop(alone);
                    }
                    () = self.interrupt.cancelled() => self.give_back(run, counts).await,
                    () = tokio::time::sleep(self.lease_time) => self.give_back(run, counts).await,
                }
            }
            Admission::Ack => {
                tracing::info!("the job is done already");
                if let Err(error) = self.ledger.complete_done(job).await {
                    let error = Chain(&error).to_string();
                    tracing::warn!(error, "cannot delete obsolete records of the job");
                }
                self.count(|summary| summary.done += 1);
                self.report(acknowledge(run.end()).await);
            }
            Admission::Bury(failed) => self.bury(job, run, &counts, &failed).await,
            Admission::Park { seen } => {
                tracing::debug!("another worker runs the job: its message is parked");
                let counts = Counts { seen, ..counts };
                self.report(forward(run.end(), &Destination::Parked, &counts).await);
            }
            Admission::Quarantine { crashes } => {
                tracing::warn!(
                    crashes,
                    from = ?lane,
                    "a worker was lost while it ran this job: it will be run alone"
                );
                let counts = Counts { crashes, ..counts };
                self.count(|summary| summary.quarantined += 1);
                self.report(forward(run.end(), &Destination::Quarantine, &counts).await);
            }
            Admission::GiveUp { crashes } => {
                let message =
                    format!("{crashes} workers were lost while they ran this job and nothing else");
                let failure = failure(FailureCode::WorkerLost, &job.source, message);
                let counts = Counts { crashes, ..counts };
                self.give_up(job, run, &counts, &failure).await;
            }
        }
    }

    /// Gives up a job that names a location that is not allowed. Where its output is not, nothing is
    /// recorded.
    async fn refuse(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        if failure.code == FailureCode::SourceNotAllowed {
            return self.give_up(job, run, counts, failure).await;
        }
        tracing::error!(%failure, "refused");
        self.count(|summary| summary.failed += 1);
        let attempts = counts.attempts.saturating_add(1);
        let dead = Destination::Dead(dead_letter_reason(failure, attempts));
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Releases a job that has not run to quarantine, where the suspicion is not forgotten.
    async fn give_back(&self, run: &Run, counts: Counts) {
        let counts = Counts { releases: counts.releases.saturating_add(1), ..counts };
        self.count(|summary| summary.released += 1);
        self.report(forward(run.end(), &Destination::Quarantine, &counts).await);
    }

    /// Decides what the message calls for. Waits for a store that does not answer; returns `None` if
    /// the worker drains meanwhile, or the lease would become too old.
    async fn admission(
        &self,
        job: &Job,
        delivery: Delivery,
    ) -> Result<Option<Admission>, ledger::Error> {
        let Delivery { lane, redelivered, counts, .. } = delivery;
        if !is_suspect(lane, redelivered, &counts) {
            return Ok(Some(Admission::Run { alone: false, attempts: counts.attempts }));
        }
        let start = Instant::now();
        let mut delays = ledger_delays();
        loop {
            match self.look_up(job, counts.generation).await {
                Ok((outcome, running)) => {
                    let evidence = Evidence { lane, redelivered, counts, outcome, running };
                    return Ok(Some(admit(evidence, self.policy.max_crashes)));
                }
                Err(error) if error.is_transient() => {
                    let error = Chain(&error).to_string();
                    tracing::warn!(error, "cannot read the records of the job, trying again");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = tokio::time::sleep(delays.next().unwrap_or(MAX_LEDGER_DELAY)) => {}
                () = self.interrupt.cancelled() => return Ok(None),
            }
            if start.elapsed() >= self.lease_time {
                return Ok(None);
            }
        }
    }

    async fn look_up(
        &self,
        job: &Job,
        generation: u32,
    ) -> Result<(Option<Outcome>, Option<(Running, String)>), ledger::Error> {
        let outcome = self.ledger.outcome(job, generation).await?;
        let running = self.ledger.running(job).await?;
        Ok((outcome, running))
    }

    /// Transcribes the job's recording while its lease is kept, and settles the lease.
    async fn execute(&self, job: &Job, run: &Run, counts: Counts, alone: bool) {
        let running = Running {
            version: RECORDS_VERSION,
            source: job.source.clone(),
            worker: self.worker.clone(),
            started_at: now(),
            alone,
            crashes: counts.crashes,
            beat: 0,
            handed_back: None,
        };
        let mut keeper = LeaseKeeper {
            job,
            run,
            ledger: &self.ledger,
            counts,
            running,
            version: String::new(),
            lease_time: self.lease_time,
            state: LeaseState::Held,
        };
        let result = match self.ledger.start(job, &keeper.running).await {
            Ok(version) => {
                keeper.version = version;
                let over = CancellationToken::new();
                let work = async {
                    let result = self.complete(job).await;
                    over.cancel();
                    result
                };
                let (result, ()) = futures::join!(work, keeper.keep(&over));
                result
            }
            Err(error) => Err(self.whose_fault(job, unrecorded(&error, job)).await),
        };
        self.settle(keeper, result).await;
    }

    /// Returns the failure of a worker whose account may not write the first record of a job: it is the
    /// job's only if the account may do something at all.
    async fn whose_fault(&self, job: &Job, failure: Failure) -> Failure {
        if failure.code != FailureCode::OutputDenied || self.breaker.has_worked() {
            return failure;
        }
        let asked = async {
            let (store, key) = self.transcriber.stores().open(&job.source.parse()?)?;
            store.head(&key).await
        };
        match asked.await {
            Ok(_) | Err(store::Error { kind: ErrorKind::NotFound, .. }) => failure,
            Err(_) => Failure {
                code: FailureCode::StoreMisconfigured,
                message: format!("{}; the recording may not be read either", failure.message),
                ..failure
            },
        }
    }

    /// Transcribes the job's recording and records that the job is done.
    async fn complete(&self, job: &Job) -> Result<(), Failure> {
        let request = TranscriptionRequest::from_job(job)?;
        let session = Arc::new(Session::default());
        let work = self.transcriber.transcribe(&request, &session);
        let work = interruptible(work, &session, &self.interrupt);
        let transcription = tokio::select! {
            transcription = work => transcription?,
            () = watch(&session, self.stall_time) => {
                // Its thread may never look at this.
                session.interrupt();
                let message = format!("no progress for {} s", self.stall_time.as_secs());
                return Err(failure(FailureCode::Internal, &job.source, message));
            }
        };
        let done = self.done(job, &transcription)?;
        self.ledger.done(job, &done).await.map_err(|error| unrecorded(&error, job))?;
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

    fn done(&self, job: &Job, transcription: &Transcription) -> Result<Done, Failure> {
        let parsed = job.output.parse::<Location>();
        let output = parsed.map_err(|error| output_failure(&error.into(), &job.source))?;
        let up_to_date = transcription.completed == Completed::UpToDate;
        let transcript = &transcription.transcript;
        Ok(Done {
            version: RECORDS_VERSION,
            source: job.source.clone(),
            transcript: format!("{output}.{}", Format::Json.extension()),
            up_to_date,
            audio_seconds: transcript.source.duration,
            cpu_seconds: if up_to_date { 0.0 } else { transcript.processing.cpu_seconds },
            worker: self.worker.clone(),
            finished_at: now(),
        })
    }

    /// Settles the lease of a run that ended.
    async fn settle(&self, keeper: LeaseKeeper<'_>, result: Result<(), Failure>) {
        let LeaseKeeper { job, run, counts, mut running, state, .. } = keeper;
        let verdict = match &result {
            Ok(()) => None,
            Err(failure) => {
                let answers = self.store_answers(job, failure).await;
                Some(self.policy.judge(failure, counts.attempts, answers))
            }
        };
        match (&result, verdict) {
            (Err(failure), Some(Verdict::Postpone)) => self.breaker.trip(failure),
            (_, Some(Verdict::Release)) => {}
            (result, _) => self.breaker.reset(result.is_ok()),
        }
        let end = match verdict {
            None => End::Done,
            Some(Verdict::Retry(_)) => End::Retry,
            Some(Verdict::GiveUp) => End::Failed,
            Some(Verdict::Release | Verdict::Postpone) => End::Released,
        };
        let (_, action) = state.on(Event::Ended(end));
        if let Err(failure) = &result {
            match (end, action) {
                (End::Released, _) if verdict == Some(Verdict::Postpone) => {
                    tracing::warn!(%failure, "not the job's fault: postponed");
                }
                (End::Released, _) => tracing::info!("interrupted: back to the queue"),
                (_, Action::GiveUp) => {} // `give_up` logs it.
                (_, Action::Nothing) => {
                    tracing::warn!(%failure, "failed without a lease: its next holder decides");
                }
                _ => tracing::warn!(%failure, ?verdict, "failed, to be retried"),
            }
        }
        match (action, verdict, &result) {
            (Action::Ack, ..) => {
                self.count(|summary| summary.done += 1);
                let acknowledged = acknowledge(run.end()).await;
                if state == LeaseState::Held {
                    self.report(acknowledged);
                }
            }
            (Action::GiveUp, _, Err(failure)) => {
                self.give_up(job, run, &counts, failure).await;
            }
            (Action::Retry, Some(Verdict::Retry(delay)), _) => {
                self.retry(job, run, &counts, delay).await;
            }
            (Action::Release, ..) => {
                self.requeue(job).await;
                self.count(|summary| summary.released += 1);
                let back = match verdict {
                    _ if running.alone => Destination::Quarantine,
                    Some(Verdict::Postpone) => Destination::Delayed(POSTPONED),
                    _ => Destination::Returned,
                };
                let counts = Counts { releases: counts.releases.saturating_add(1), ..counts };
                self.report(forward(run.end(), &back, &counts).await);
            }
            (Action::HandBack, ..) => {
                let spent = u32::from(end == End::Retry);
                running.handed_back = Some(counts.attempts.saturating_add(spent));
                self.count(|summary| summary.released += 1);
                if let Err(error) = self.ledger.start(job, &running).await {
                    // The parked message comes back as if the worker had died.
                    let error = Chain(&error).to_string();
                    tracing::warn!(error, "cannot hand the job back");
                }
            }
            _ => drop(run.end()),
        }
    }

    /// Gives a job up: records its failure and moves its message, if it is held, to the dead letters.
    async fn give_up(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        let attempts = counts.attempts.saturating_add(1);
        tracing::error!(%failure, attempts, "failed");
        let failed = Failed {
            version: RECORDS_VERSION,
            job: job.id.clone(),
            batch: job.batch.clone(),
            generation: counts.generation,
            failure: failure.clone(),
            remedy: failure.code.remedy().to_owned(),
            attempts,
            worker: self.worker.clone(),
            failed_at: now(),
        };
        self.bury(job, run, counts, &failed).await;
    }

    /// Writes the record of a failure, which may be written in part, and moves the message to the dead
    /// letters.
    async fn bury(&self, job: &Job, run: &Run, counts: &Counts, failed: &Failed) {
        match self.ledger.fail(job, failed).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!("the job is done: another worker has completed it");
                self.count(|summary| summary.done += 1);
                return self.report(acknowledge(run.end()).await);
            }
            Err(error) => {
                let text = Chain(&error).to_string();
                tracing::warn!(error = text, "cannot write the record of the failure");
                let unrecorded = unrecorded(&error, job);
                match self.policy.judge(&unrecorded, counts.attempts, false) {
                    Verdict::Retry(delay) => return self.retry(job, run, counts, delay).await,
                    Verdict::Postpone | Verdict::Release => {
                        self.breaker.trip(&unrecorded);
                        self.count(|summary| summary.released += 1);
                        let later = Destination::Delayed(POSTPONED);
                        return self.report(forward(run.end(), &later, counts).await);
                    }
                    // Without a record.
                    Verdict::GiveUp => {}
                }
            }
        }
        self.count(|summary| summary.failed += 1);
        let dead = Destination::Dead(dead_letter_reason(&failed.failure, failed.attempts));
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Returns whether the store that a failure names answers now, for any object.
    async fn store_answers(&self, job: &Job, failure: &Failure) -> bool {
        let uri = match failure.code {
            FailureCode::SourceUnavailable => &job.source,
            FailureCode::OutputUnavailable => &job.output,
            _ => return true,
        };
        let asked = async {
            let (store, key) = self.transcriber.stores().open(&uri.parse()?)?;
            store.head(&key).await
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        !matches!(answer, Err(_) | Ok(Err(store::Error { kind: ErrorKind::Unavailable, .. })))
    }

    /// Schedules the next attempt.
    async fn retry(&self, job: &Job, run: &Run, counts: &Counts, delay: Duration) {
        self.requeue(job).await;
        self.count(|summary| summary.retried += 1);
        let counts = Counts { attempts: counts.attempts.saturating_add(1), ..counts.clone() };
        self.report(forward(run.end(), &Destination::Delayed(delay), &counts).await);
    }

    /// Clears the record of the run. Before its message moves: afterwards, the record may be that of
    /// the job's next run.
    async fn requeue(&self, job: &Job) {
        if let Err(error) = self.ledger.requeue(job).await {
            let error = Chain(&error).to_string();
            tracing::warn!(error, "cannot delete the record of the run");
        }
    }

    /// Logs a lease that could not be settled. The broker delivers the job again, and whoever gets it
    /// finds what became of it in the ledger.
    fn report(&self, settled: Result<(), String>) {
        if let Err(error) = settled {
            tracing::warn!(error, "the lease was lost before it was settled");
        }
    }

    fn count(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.summary.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Ends when a run makes no progress for `limit`: a decoder or a store hangs in a way that no timeout
/// notices.
async fn watch(session: &Session, limit: Duration) {
    let (mut last, mut since) = (session.progress(), Instant::now());
    while since.elapsed() < limit {
        tokio::time::sleep(limit.min(MAX_WATCH_INTERVAL) / 4).await;
        let progress = session.progress();
        if progress != last {
            (last, since) = (progress, Instant::now());
        }
    }
}

/// Returns the failure for a record that could not be written.
fn unrecorded(error: &ledger::Error, job: &Job) -> Failure {
    match error {
        ledger::Error::Store(error) => output_failure(error, &job.source),
        error => caused(FailureCode::Internal, &job.source, error),
    }
}

/// Delay before a job is tried again that failed without its fault.
const POSTPONED: Duration = Duration::from_secs(10);
/// A store that takes longer does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_WATCH_INTERVAL: Duration = Duration::from_secs(60);
const MAX_LEDGER_DELAY: Duration = Duration::from_secs(30);

/// Delays between attempts to read the ledger, without end.
fn ledger_delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(MAX_LEDGER_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
