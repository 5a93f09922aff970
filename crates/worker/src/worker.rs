//! The loop of a worker: leases jobs, spawns a task for each, drains.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use notify::Webhooks;
use queue::{Origin, Queue};
use serde::Serialize;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Transcriber, WorkerConfig,
    admission::MemoryBudget,
    allowed::InvalidPrefix,
    events::{Observer, WorkerEvent},
    job::JobRunner,
    leases::Leases,
    memory,
    watch::Watcher,
};

/// Time that interrupted jobs have to end and settle. They do at once, unless a store, a broker or a
/// decoder stalls.
const INTERRUPTED: Duration = Duration::from_secs(1);
/// How often the worker shows that it is alive, and looks at its memory.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time to write the last counts of the batches.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Time to give a watch back.
const GIVE_BACK: Duration = Duration::from_millis(500);
/// Time to release jobs that do not end.
const RELEASE: Duration = Duration::from_millis(500);

/// Number of jobs by how a worker settled them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub done: u64,
    pub retried: u64,
    pub failed: u64,
    pub released: u64,
    /// Jobs that may have killed a worker, moved to run alone.
    pub quarantined: u64,
    /// Jobs with long recordings, moved to wait for a slot.
    pub long: u64,
    /// Jobs of paused batches.
    pub held: u64,
    /// Jobs of cancelled batches.
    pub cancelled: u64,
    /// Whether the worker drained because it had too much memory.
    pub over_memory: bool,
}

/// Leases jobs and completes them until it drains.
///
/// ```no_run
/// # async fn example(transcriber: worker::Transcriber) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use tokio_util::sync::CancellationToken;
/// use worker::{Worker, WorkerConfig};
///
/// let (cores, drain) = (4, CancellationToken::new());
/// let queue = Arc::new(queue::MemoryQueue::new());
/// let worker = Worker::new(queue, transcriber, WorkerConfig::default(), cores, Vec::new())?;
/// let summary = worker.run(drain).await?;
/// println!("{} jobs done", summary.done);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    queue: Arc<dyn Queue>,
    runner: Arc<JobRunner>,
    config: WorkerConfig,
    cores: usize,
    interrupt: CancellationToken,
    observers: Vec<Arc<dyn Observer>>,
    memory: Arc<MemoryBudget>,
    watcher: Watcher,
    /// Bytes of the process above which the worker drains.
    max_memory: Option<u64>,
}

impl Worker {
    /// `cores` is the width of the transcriber's compute pool, whose shares are those of the
    /// configuration. `observers` are told what happens.
    ///
    /// # Errors
    /// If `worker.sources` or `worker.outputs` names no location.
    pub fn new(
        queue: Arc<dyn Queue>,
        transcriber: Transcriber,
        config: WorkerConfig,
        cores: usize,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Result<Self, InvalidPrefix> {
        let interrupt = CancellationToken::new();
        let transcriber = match config.part_of_memory(config.memory_high_percent) {
            Some(bytes) => transcriber.with_high_water(bytes),
            None => transcriber,
        };
        let memory = Arc::clone(&transcriber.memory);
        let percent = Some(config.memory_max_percent).filter(|percent| *percent < 100);
        let max_memory = percent.and_then(|percent| config.part_of_memory(percent));
        let stores = Arc::clone(transcriber.stores());
        let watcher = Watcher::new(Arc::clone(&queue), stores, &config, observers.clone())?;
        let (interrupted, observed) = (interrupt.clone(), observers.clone());
        let runner = JobRunner::new(&queue, transcriber, &config, interrupted, observed)?;
        let runner = Arc::new(runner);
        Ok(Self { queue, runner, config, cores, interrupt, observers, memory, watcher, max_memory })
    }

    /// Sets how webhooks are sent that tell of the end of a batch. By default, each is refused.
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Webhooks) -> Self {
        self.watcher.webhooks = Arc::new(webhooks);
        self
    }

    /// Runs until `drain` is cancelled, or there were no jobs for long enough, and all jobs in flight are
    /// settled.
    ///
    /// # Errors
    /// If the queue refuses to start leasing.
    pub async fn run(self, drain: CancellationToken) -> Result<Summary, queue::Error> {
        let mut leases = Leases::subscribe(&*self.queue, &self.config, self.cores).await?;
        let watches = self.queue.consume(Origin::Watches, 1).await?;
        let unlimited = self.runner.unlimited();
        if !unlimited.is_empty() {
            tracing::warn!(
                keys = unlimited.join(", "),
                "not set: jobs may name every bucket that this worker's account reaches"
            );
        }
        WorkerEvent::Leasing {
            worker: self.config.name.clone(),
            lanes: self.config.lanes.clone(),
            models: self.runner.models(),
            in_flight: self.config.in_flight(self.cores),
        }
        .emit(&self.observers);
        let counting = tokio::spawn({
            let runner = Arc::clone(&self.runner);
            async move { runner.tallies().keep_writing().await }
        });
        // Beside the jobs, of which it takes no slot and no core.
        let stop_watching = CancellationToken::new();
        let _stopped = stop_watching.clone().drop_guard();
        let watching = tokio::spawn(self.watcher.clone().run(watches, stop_watching.clone()));
        let mut alone = self.runner.gate().wanted();
        let mut jobs = JoinSet::new();
        let mut beats = tokio::time::interval(HEARTBEAT);
        let mut over_memory = false;
        // When there was a job last, or none could be leased.
        let mut busy_at = Instant::now();
        loop {
            let breaker = self.runner.breaker();
            let leasing = *alone.borrow_and_update() == 0
                && breaker.permits(jobs.len())
                && !self.memory.is_short();
            if !leasing {
                // Messages that nobody runs meanwhile would keep other workers waiting.
                leases.pause().await;
            }
            let lease = tokio::select! {
                biased;
                () = drain.cancelled() => break,
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => {
                    log_panic(ended);
                    continue;
                }
                Ok(()) = alone.changed() => continue,
                () = breaker.changed() => continue,
                () = self.memory.changed() => continue,
                _ = beats.tick() => {
                    if self.beat() {
                        over_memory = true;
                        break;
                    }
                    if !jobs.is_empty() || !leasing || !self.queue.is_connected() {
                        busy_at = Instant::now();
                    }
                    let idle = busy_at.elapsed();
                    if self.config.max_idle().is_some_and(|max| idle >= max) {
                        tracing::info!(seconds = idle.as_secs(), "no jobs: ending");
                        break;
                    }
                    continue;
                }
                lease = leases.next(), if leasing => lease,
            };
            let Some(lease) = lease else { break };
            busy_at = Instant::now();
            let runner = Arc::clone(&self.runner);
            jobs.spawn(async move { runner.run(lease).await });
        }
        WorkerEvent::Draining { in_flight: jobs.len() }.emit(&self.observers);
        stop_watching.cancel();
        leases.stop().await;
        self.drain(jobs).await;
        give_back(watching).await;
        counting.abort();
        if tokio::time::timeout(LAST_WRITE, self.runner.tallies().write()).await.is_err() {
            tracing::warn!("the last counts of the batches cannot be written");
        }
        let summary = Summary { over_memory, ..self.runner.summary() };
        tracing::info!(?summary, "drained");
        Ok(summary)
    }

    /// Shows that the loop is alive, and looks at the memory of the process. Returns whether it is above
    /// the maximum.
    fn beat(&self) -> bool {
        let resident = memory::resident();
        let memory = resident.map(|resident| {
            self.memory.observe(resident);
            self.memory.state()
        });
        WorkerEvent::Heartbeat { memory, is_connected: self.queue.is_connected() }
            .emit(&self.observers);
        let (Some(resident), Some(max)) = (resident, self.max_memory) else { return false };
        if resident > max {
            tracing::error!(resident, max, "too much memory: draining, to be started anew");
        }
        resident > max
    }

    /// Lets jobs in flight finish within the drain time, then interrupts them.
    async fn drain(&self, mut jobs: JoinSet<()>) {
        let grace = Duration::from_secs(self.config.drain_seconds);
        if tokio::time::timeout(grace, join_all(&mut jobs)).await.is_ok() {
            return;
        }
        tracing::warn!(in_flight = jobs.len(), "drain time is over: interrupting jobs");
        self.interrupt.cancel();
        if tokio::time::timeout(INTERRUPTED, join_all(&mut jobs)).await.is_ok() {
            return;
        }
        tracing::warn!(in_flight = jobs.len(), "jobs do not end: releasing them as they are");
        if tokio::time::timeout(RELEASE, self.runner.release_all()).await.is_err() {
            tracing::warn!("the broker does not answer: it delivers the jobs again");
        }
        jobs.abort_all();
    }
}

/// Waits until the watch that is being handled has gone back to the queue.
async fn give_back(mut watching: JoinHandle<()>) {
    match tokio::time::timeout(GIVE_BACK, &mut watching).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the task of the watches panicked"),
        Err(_) => {
            tracing::warn!("the broker does not answer: it delivers the watch again");
            watching.abort();
        }
    }
}

async fn join_all(jobs: &mut JoinSet<()>) {
    while let Some(ended) = jobs.join_next().await {
        log_panic(ended);
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The panic dropped the job's lease, which releases it.
        tracing::error!(%error, "a job's task panicked");
    }
}
