//! What happens in a worker: one kind of event each, from which the log line, the worker's summary, the
//! batch's tally and the metrics come.

use std::{sync::Arc, time::Duration};

use job::{BatchId, Failure, Job};
use queue::{Lane, Origin};
use transcript::Stage;

use crate::MemoryState;

/// Receives all events of a worker, in the order in which they happen. Called on threads of the runtime,
/// so it must not block.
pub trait Observer: Send + Sync {
    fn job(&self, event: &JobEvent<'_>);

    fn worker(&self, event: &WorkerEvent);

    /// Called with the span of a job before anything happens in it, and with the trace that the job's
    /// message belongs to.
    fn span(&self, span: &tracing::Span, trace: &str);
}

/// Something that happened to a job.
#[derive(Debug, Clone, Copy)]
pub struct JobEvent<'a> {
    pub job: &'a Job,
    pub lane: Lane,
    pub kind: &'a JobEventKind,
}

/// What happened to a job.
#[derive(Debug, Clone)]
pub enum JobEventKind {
    /// A run begins. It ends with [`Self::Stopped`], after the event that says how.
    Started {
        origin: Origin,
        alone: bool,
        attempts: u32,
        /// How long a new job has waited, if that is known.
        waited: Option<Duration>,
    },
    /// A run has ended.
    Stopped { wall_seconds: f64 },
    /// The transcript is written and recorded.
    Done(Box<DoneEvent>),
    /// The job was found done when its message came again.
    DoneBefore,
    /// The job is given up.
    Failed { failure: Failure, attempts: u32, first: bool },
    /// Another attempt follows after a delay.
    Retried { failure: Failure, attempts: u32, delay: Duration },
    /// The fault is not the job's; it comes back after a delay, and no attempt is spent.
    Postponed { failure: Failure },
    /// The worker drains; the job goes back to the queue.
    Released,
    /// The run has no lease any more, so whoever holds the message decides.
    Abandoned { failure: Option<Failure> },
    /// A worker was lost while it ran this job, which will be run alone.
    Quarantined { origin: Origin, crashes: u32 },
    /// The recording is long: the job waits for a slot.
    Long,
    /// The job's batch is paused.
    Held,
    /// The job's batch is cancelled.
    Cancelled,
}

/// How a job was done.
#[derive(Debug, Clone)]
pub struct DoneEvent {
    /// Whether this run wrote the record of the success, or found one.
    pub first: bool,
    /// Whether the transcript existed.
    pub up_to_date: bool,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    pub audio_seconds_per_core_second: f64,
    /// What was recalled from checkpoints and not computed: windows, and the seconds of audio in them.
    pub recalled_windows: usize,
    pub recalled_audio_seconds: f64,
    /// Name of the recognizer.
    pub model: String,
    pub stages: Vec<Stage>,
    /// URI of the transcript.
    pub transcript: String,
}

/// Something that happened to the worker.
#[derive(Debug, Clone)]
pub enum WorkerEvent {
    /// Jobs are leased from now on. `models` are the names of the recognizers that are loaded.
    Leasing { worker: String, lanes: Vec<Lane>, models: Vec<String>, in_flight: u16 },
    /// No jobs are leased until a store, or this worker, is well again.
    NotReady { reason: String },
    /// The breaker that [`Self::NotReady`] opened is closed.
    Ready { was: String },
    /// The worker's loop is alive. Once a second, until it drains.
    Heartbeat {
        /// Unknown on some systems.
        memory: Option<MemoryState>,
        /// Whether leases can arrive.
        is_connected: bool,
    },
    /// A message is not a job, and becomes a dead letter.
    Invalid { lane: Lane, detail: String },
    /// No more jobs are leased.
    Draining { in_flight: usize },
    /// Somebody was to be told that a batch is over.
    Notified { batch: BatchId, channel: Channel, outcome: Notified, detail: String },
}

/// By which somebody is told that a batch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Event,
    Webhook,
}

impl Channel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Webhook => "webhook",
        }
    }
}

/// What became of an attempt to tell somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notified {
    Sent,
    /// Another attempt follows.
    Retried,
    /// It is given up.
    Failed,
}

impl Notified {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

impl JobEvent<'_> {
    /// Writes the log line. Fields of the job itself are in the span around it.
    pub(crate) fn log(&self) {
        match self.kind {
            JobEventKind::Started { origin, alone, attempts, waited } => {
                tracing::debug!(?origin, alone, attempts, ?waited, "started");
            }
            JobEventKind::Stopped { wall_seconds } => tracing::debug!(wall_seconds, "stopped"),
            JobEventKind::Done(done) => tracing::info!(
                up_to_date = done.up_to_date,
                audio_seconds = done.audio_seconds,
                cpu_seconds = done.cpu_seconds,
                audio_seconds_per_core_second = done.audio_seconds_per_core_second,
                recalled_windows = done.recalled_windows,
                recalled_audio_seconds = done.recalled_audio_seconds,
                model = done.model,
                transcript = done.transcript,
                "done"
            ),
            JobEventKind::DoneBefore => tracing::info!("the job is done already"),
            JobEventKind::Failed { failure, attempts, .. } => {
                tracing::error!(%failure, attempts, "failed");
            }
            JobEventKind::Retried { failure, attempts, delay } => {
                tracing::warn!(%failure, attempts, ?delay, "failed, to be retried");
            }
            JobEventKind::Postponed { failure } => {
                tracing::warn!(%failure, "not the job's fault: postponed");
            }
            JobEventKind::Released => tracing::info!("interrupted: back to the queue"),
            JobEventKind::Abandoned { failure: Some(failure) } => {
                tracing::warn!(%failure, "failed without a lease: its next holder decides");
            }
            JobEventKind::Abandoned { failure: None } => {
                tracing::info!("ended without a lease: its next holder decides");
            }
            JobEventKind::Quarantined { origin, crashes } => tracing::warn!(
                crashes,
                from = ?origin,
                "a worker was lost while it ran this job: it will be run alone"
            ),
            JobEventKind::Long => tracing::info!("the recording is long: its job waits for a slot"),
            JobEventKind::Held => tracing::info!("the batch is paused: its job is held"),
            JobEventKind::Cancelled => tracing::info!("the batch is cancelled: its job is dropped"),
        }
    }
}

impl WorkerEvent {
    /// Tells everybody who counts what happened.
    pub(crate) fn emit(&self, observers: &[Arc<dyn Observer>]) {
        self.log();
        observers.iter().for_each(|observer| observer.worker(self));
    }

    /// Writes the log line.
    fn log(&self) {
        match self {
            Self::Leasing { worker, lanes, models, in_flight } => {
                let lanes = lanes.iter().map(Lane::to_string).collect::<Vec<_>>().join(", ");
                let models = models.join(", ");
                tracing::info!(worker, lanes, models, in_flight, "leasing jobs");
            }
            Self::NotReady { reason } => {
                tracing::error!(reason, "not ready: no jobs are leased until this is over");
            }
            Self::Heartbeat { .. } => {}
            Self::Ready { was } => tracing::info!(was, "ready again"),
            Self::Invalid { lane, detail } => {
                tracing::error!(lane = lane.as_str(), error = detail, "not a valid job");
            }
            Self::Draining { in_flight } => tracing::info!(in_flight, "draining: no more leases"),
            Self::Notified { batch, channel, outcome, detail } => {
                let (batch, channel) = (batch.as_str(), channel.as_str());
                match outcome {
                    Notified::Sent => {
                        tracing::info!(batch, channel, detail, "told that the batch is over");
                    }
                    Notified::Retried => tracing::warn!(
                        batch,
                        channel,
                        detail,
                        "cannot tell that the batch is over, to be tried again"
                    ),
                    Notified::Failed => tracing::error!(
                        batch,
                        channel,
                        detail,
                        "nobody is told that the batch is over: given up"
                    ),
                }
            }
        }
    }
}
