//! Runs one leased job: looks up what its message calls for, and does it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use errors::Chain;
use job::{Failure, FailureCode, InvalidJob, Job, RECORDS_VERSION, Running};
use ledger::{BatchControl, Ledger, Outcome};
use queue::{Counts, DeadLetterReason, Destination, Lane, Lease, Origin, Queue};
use store::{ErrorKind, ObjectMeta};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    keeper::{LeaseKeeper, forward},
    policy::RetryPolicy,
    settle::unrecorded,
    state::{Admission, Evidence, LeaseState, admit, is_suspect, may_have_run, may_lack_letter},
    time_budget::TimeBudget,
};
use crate::{
    Summary, Transcriber, WorkerConfig,
    allowed::{Allowed, InvalidPrefix},
    announcer::Announcer,
    breaker::Breaker,
    controls::Controls,
    delays,
    events::{DoneEvent, JobEvent, JobEventKind, Observer, WorkerEvent},
    failure::failure,
    gate::Gate,
    lock, now,
    registry::{Registered, Registry, Run},
    tally::TallyWriter,
};

const MIN_LEDGER_DELAY: Duration = Duration::from_millis(250);
const MAX_LEDGER_DELAY: Duration = Duration::from_secs(30);

/// Runs jobs. All jobs in flight share it.
pub(crate) struct JobRunner {
    pub(super) transcriber: Transcriber,
    pub(super) ledger: Ledger,
    allowed: Allowed,
    pub(super) controls: Controls,
    pub(super) registry: Registry,
    gate: Gate,
    pub(super) breaker: Breaker,
    pub(super) policy: RetryPolicy,
    /// Name of this worker in records.
    pub(super) worker: String,
    /// Longest recording that runs without a slot for long ones, in seconds.
    pub(super) max_seconds: f64,
    /// How long a message is held before it is parked.
    lease_time: Duration,
    pub(super) budget: TimeBudget,
    /// Time between two checkpoints of a job; `None`: there are none.
    pub(super) checkpoint_interval: Option<Duration>,
    /// Interrupts all jobs in flight.
    pub(super) interrupt: CancellationToken,
    summary: Mutex<Summary>,
    tallies: TallyWriter,
    announcer: Announcer,
    observers: Vec<Arc<dyn Observer>>,
}

/// Why a run ended before its job was done.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    /// The recording is long, and this run has no slot for long ones.
    Long,
    /// Its batch is paused.
    Paused,
    /// Its batch is cancelled.
    Cancelled,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The queue that a running job came from, its lane, and how long it waited there if it is new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) origin: Origin,
    pub(super) lane: Lane,
    waited: Option<Duration>,
}

/// How the message of a job came to this worker.
struct Delivery {
    origin: Origin,
    lane: Lane,
    /// Why the queue itself gave the message up.
    given_up: Option<DeadLetterReason>,
    redelivered: bool,
    /// How long the message of a new job has waited.
    waited: Option<Duration>,
    counts: Counts,
}

impl JobRunner {
    pub(crate) fn new(
        queue: &Arc<dyn Queue>,
        transcriber: Transcriber,
        config: &WorkerConfig,
        interrupt: CancellationToken,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Result<Self, InvalidPrefix> {
        let ledger = Ledger::new(Arc::clone(transcriber.stores()));
        let worker = config.name.clone();
        let announcer = Announcer::new(Arc::clone(queue), config.events, worker, interrupt.clone());
        Ok(Self {
            announcer,
            allowed: Allowed::new(config)?,
            controls: Controls::new(ledger.clone()),
            tallies: TallyWriter::new(ledger.clone(), config.name.clone()),
            ledger,
            transcriber,
            registry: Registry::default(),
            gate: Gate::default(),
            breaker: Breaker::new(observers.clone()),
            policy: RetryPolicy::new(config),
            worker: config.name.clone(),
            max_seconds: config.long_seconds as f64,
            lease_time: queue.lease_time(),
            budget: TimeBudget::new(config),
            checkpoint_interval: config.checkpoint_interval(),
            interrupt,
            summary: Mutex::default(),
            observers,
        })
    }

    /// Runs a leased job and settles its lease, whatever happens.
    pub(crate) async fn run(&self, lease: Box<dyn Lease>) {
        let message = lease.message();
        let job = Job::from_slice(&message.body);
        let span = tracing::info_span!(
            "job",
            job = job.as_ref().map_or(&message.id, |job| &job.id),
            batch = tracing::field::Empty,
            recording = tracing::field::Empty,
            attempt = message.counts.attempts,
            redelivered = lease.is_redelivered(),
        );
        self.observers.iter().for_each(|observer| observer.span(&span, &message.trace));
        self.process(job, lease).instrument(span).await;
    }

    /// Returns the keys of the configuration that would limit what jobs may name, and do not.
    pub(crate) fn unlimited(&self) -> Vec<&'static str> {
        self.allowed.unlimited()
    }

    /// Returns the names of the recognizers that are loaded.
    pub(crate) fn models(&self) -> Vec<String> {
        let pipelines = self.transcriber.presets.pipelines();
        pipelines.map(|pipeline| pipeline.recognizer().name.clone()).collect()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) fn summary(&self) -> Summary {
        *lock(&self.summary)
    }

    pub(crate) fn tallies(&self) -> &TallyWriter {
        &self.tallies
    }

    /// Tells everybody who counts what happened to a job, and announces it before the job is
    /// acknowledged. Returns whether it may be.
    pub(super) async fn conclude(&self, job: &Job, run: &Run, kind: JobEventKind) -> bool {
        let announced = self.announcer.announce(job, run.lane, &run.trace, &kind).await;
        self.emit(job, run, kind);
        announced
    }

    /// Tells everybody who counts what happened to a job.
    pub(super) fn emit(&self, job: &Job, run: &Run, kind: JobEventKind) {
        let event = JobEvent { job, lane: run.lane, kind: &kind };
        event.log();
        self.count(&kind);
        self.tallies.count(&event);
        self.observers.iter().for_each(|observer| observer.job(&event));
    }

    pub(super) fn count(&self, kind: &JobEventKind) {
        let mut summary = lock(&self.summary);
        let count = match kind {
            JobEventKind::Done(_) | JobEventKind::DoneBefore => &mut summary.done,
            JobEventKind::Failed { .. } => &mut summary.failed,
            JobEventKind::Retried { .. } => &mut summary.retried,
            JobEventKind::Postponed { .. } | JobEventKind::Released => &mut summary.released,
            JobEventKind::Quarantined { .. } => &mut summary.quarantined,
            JobEventKind::Long => &mut summary.long,
            JobEventKind::Held => &mut summary.held,
            JobEventKind::Cancelled => &mut summary.cancelled,
            JobEventKind::Started { .. }
            | JobEventKind::Stopped { .. }
            | JobEventKind::Abandoned { .. } => return,
        };
        *count += 1;
    }

    async fn process(&self, job: Result<Job, InvalidJob>, lease: Box<dyn Lease>) {
        let delivery = Delivery {
            origin: lease.origin(),
            lane: lease.message().lane,
            given_up: lease.given_up(),
            redelivered: lease.is_redelivered(),
            waited: waited(&*lease),
            counts: lease.message().counts.clone(),
        };
        let job = match job {
            Ok(job) => job,
            Err(error) => {
                let detail = Chain(&error).to_string();
                let lane = delivery.lane;
                WorkerEvent::Invalid { lane, detail: detail.clone() }.emit(&self.observers);
                let code = FailureCode::JobInvalid.as_str().to_owned();
                let dead = Destination::Dead(DeadLetterReason { code, detail });
                lock(&self.summary).failed += 1;
                self.report(forward(vec![lease], &dead, &delivery.counts).await);
                return;
            }
        };
        let span = tracing::Span::current();
        if let Some(batch) = &job.batch {
            span.record("batch", batch.as_str());
        }
        span.record("recording", tracing::field::display(&job.source));
        let Delivery { origin, redelivered, ref counts, .. } = delivery;
        match self.registry.enter(&job.key(), lease, may_lack_letter(origin, redelivered, counts)) {
            Some(run) => self.handle(&job, &run, delivery).await,
            None => tracing::info!("the job runs already: its run adopts the lease"),
        }
    }

    /// Does what the job's message calls for.
    async fn handle(&self, job: &Job, run: &Registered<'_>, delivery: Delivery) {
        let Delivery { origin, lane, redelivered, ref counts, .. } = delivery;
        if may_have_run(origin, redelivered, counts) {
            run.note_earlier_run();
        }
        if let Err(failure) = self.allowed.check(job) {
            return self.refuse(job, run, &delivery.counts, &failure).await;
        }
        let counts = Counts { seen: String::new(), ..delivery.counts.clone() };
        if let Some(reason) = &delivery.given_up {
            let failure = failure(FailureCode::WorkerLost, &job.source, reason.detail.clone());
            return self.give_up(job, run, &counts, &failure).await;
        }
        match self.controls.of(job).await {
            BatchControl::Active => {}
            BatchControl::Paused => {
                self.emit(job, run, JobEventKind::Held);
                let held = forward(run.end(), &Destination::Held, &delivery.counts).await;
                return self.report(held);
            }
            BatchControl::Cancelled => {
                self.clear_checkpoints(job, run).await;
                self.requeue(job, run).await;
                let cancelled = JobEventKind::Cancelled;
                let settled = self.conclude_and_acknowledge(job, run, &counts, cancelled).await;
                return self.report(settled);
            }
        }
        let place = Place { origin, lane, waited: delivery.waited };
        let admission = match self.admission(job, delivery).await {
            Ok(Some(admission)) => admission,
            Ok(None) => return self.give_back(job, run, counts).await,
            Err(error) => return self.settle_unread(job, run, counts, &error).await,
        };
        match admission {
            Admission::Run { alone: false, attempts } => {
                let _together = self.gate.together().await;
                self.execute(job, run, Counts { attempts, ..counts }, place, false).await;
            }
            Admission::Run { alone: true, attempts } => {
                let counts = Counts { attempts, ..counts };
                tokio::select! {
                    alone = self.gate.alone() => {
                        self.execute(job, run, counts, place, true).await;
                        drop(alone);
                    }
                    () = self.interrupt.cancelled() => self.give_back(job, run, counts).await,
                    () = tokio::time::sleep(self.lease_time) => self.give_back(job, run, counts).await,
                }
            }
            Admission::Ack => {
                if let Err(error) = self.ledger.complete_done(job).await {
                    run.note_leftover(&error, "cannot delete obsolete records of the job");
                }
                self.clear_checkpoints(job, run).await;
                let done = JobEventKind::DoneBefore;
                self.report(self.conclude_and_acknowledge(job, run, &counts, done).await);
            }
            Admission::Bury(failed) => self.bury(job, run, &counts, &failed).await,
            Admission::Park { seen } => {
                tracing::debug!("another worker runs the job: its message is parked");
                let counts = Counts { seen, ..counts };
                self.report(forward(run.end(), &Destination::Parked, &counts).await);
            }
            Admission::Quarantine { crashes } => {
                self.emit(job, run, JobEventKind::Quarantined { origin, crashes });
                let counts = Counts { crashes, ..counts };
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

    /// Decides what the message calls for. Waits for a store that does not answer; returns `None` if
    /// the worker drains meanwhile, or the lease would become too old.
    async fn admission(
        &self,
        job: &Job,
        delivery: Delivery,
    ) -> Result<Option<Admission>, ledger::Error> {
        let Delivery { origin, redelivered, counts, .. } = delivery;
        if !is_suspect(origin, redelivered, &counts) {
            return Ok(Some(Admission::Run { alone: false, attempts: counts.attempts }));
        }
        let start = Instant::now();
        let mut delays = delays(MIN_LEDGER_DELAY, MAX_LEDGER_DELAY);
        loop {
            match self.look_up(job, counts.generation).await {
                Ok((outcome, running)) => {
                    let evidence = Evidence { origin, redelivered, counts, outcome, running };
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
    async fn execute(&self, job: &Job, run: &Run, counts: Counts, place: Place, alone: bool) {
        let start = Instant::now();
        let Counts { attempts, .. } = counts;
        let Place { origin, waited, .. } = place;
        self.emit(job, run, JobEventKind::Started { origin, alone, attempts, waited });
        let running = Running {
            version: RECORDS_VERSION,
            source: job.source.to_string(),
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
        // The deaths of a job that runs alone are counted, from its first moment on.
        let recorded = if alone { keeper.record().await } else { Ok(()) };
        let result = match recorded {
            Ok(()) => self.complete_recorded(&mut keeper, place).await,
            Err(error) => Err(unrecorded(&error, job).into()),
        };
        let result = match result {
            Err(Stop::Failed(failure)) => Err(self.whose_fault(job, failure).await.into()),
            result => result,
        };
        self.settle(keeper, result).await;
        let wall_seconds = start.elapsed().as_secs_f64();
        self.emit(job, run, JobEventKind::Stopped { wall_seconds });
    }

    /// Completes a job while its lease is kept. A run that cannot be recorded ends.
    async fn complete_recorded(
        &self,
        keeper: &mut LeaseKeeper<'_>,
        place: Place,
    ) -> Result<Box<DoneEvent>, Stop> {
        let LeaseKeeper { job, run, .. } = *keeper;
        let (over, interrupt) = (CancellationToken::new(), self.interrupt.child_token());
        let work = async {
            let result = self.complete(job, run, place, &interrupt).await;
            over.cancel();
            result
        };
        let keep = async {
            let kept = keeper.keep(&over).await;
            if kept.is_err() {
                interrupt.cancel();
            }
            kept
        };
        match futures::join!(work, keep) {
            (Err(Stop::Failed(Failure { code: FailureCode::Interrupted, .. })), Err(error)) => {
                Err(unrecorded(&error, job).into())
            }
            (result, _) => result,
        }
    }

    /// Returns the failure of a worker whose account may not write what a job makes: it is the job's only
    /// if the account may do something at all.
    pub(super) async fn whose_fault(&self, job: &Job, failure: Failure) -> Failure {
        if failure.code != FailureCode::OutputDenied || self.breaker.has_worked() {
            return failure;
        }
        match self.head(job.source.reveal()).await {
            Ok(_) | Err(store::Error { kind: ErrorKind::NotFound, .. }) => failure,
            Err(_) => Failure {
                code: FailureCode::StoreMisconfigured,
                message: format!("{}; the recording may not be read either", failure.message),
                ..failure
            },
        }
    }

    /// Asks a store for the metadata of an object.
    pub(super) async fn head(&self, uri: &str) -> Result<ObjectMeta, store::Error> {
        let (store, key) = self.transcriber.stores().open(&uri.parse()?)?;
        store.head(&key).await
    }
}

/// Returns how long the message of a new job has waited. A clock behind that of the publisher shows no wait.
fn waited(lease: &dyn Lease) -> Option<Duration> {
    let since = lease.since().filter(|_| matches!(lease.origin(), Origin::Jobs(_)))?;
    Some(SystemTime::now().duration_since(since).unwrap_or_default())
}
