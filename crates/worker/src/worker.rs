//! The loop of a worker: leases jobs, spawns a task for each, drains.

use std::{sync::Arc, time::Duration};

use queue::Queue;
use serde::Serialize;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{Transcriber, WorkerConfig, job::JobRunner};

/// Number of jobs by how a worker settled them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub done: u64,
    pub retried: u64,
    pub failed: u64,
    pub released: u64,
}

/// Leases jobs and completes them until it drains.
///
/// ```no_run
/// # async fn example(transcriber: worker::Transcriber) -> Result<(), queue::Error> {
/// use std::sync::Arc;
/// use tokio_util::sync::CancellationToken;
/// use worker::{Worker, WorkerConfig};
///
/// let (cores, drain) = (4, CancellationToken::new());
/// let queue = Arc::new(queue::MemoryQueue::new());
/// let worker = Worker::new(queue, transcriber, WorkerConfig::default(), cores);
/// let summary = worker.run(drain).await?;
/// println!("{} jobs done", summary.done);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    queue: Arc<dyn Queue>,
    runner: Arc<JobRunner>,
    config: WorkerConfig,
    in_flight: u16,
    interrupt: CancellationToken,
}

impl Worker {
    /// `cores` is the width of the transcriber's compute pool.
    pub fn new(
        queue: Arc<dyn Queue>,
        transcriber: Transcriber,
        config: WorkerConfig,
        cores: usize,
    ) -> Self {
        let interrupt = CancellationToken::new();
        let runner = Arc::new(JobRunner::new(transcriber, &config, interrupt.clone()));
        let in_flight = config.in_flight(cores);
        Self { queue, runner, config, in_flight, interrupt }
    }

    /// Runs until `drain` is cancelled and all jobs in flight are settled.
    ///
    /// # Errors
    /// If the queue refuses to start leasing.
    pub async fn run(self, drain: CancellationToken) -> Result<Summary, queue::Error> {
        let mut consumer = self.queue.consume(self.in_flight).await?;
        tracing::info!(worker = self.config.name, in_flight = self.in_flight, "leasing jobs");
        let mut jobs = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => log_panic(ended),
                lease = consumer.next() => {
                    let Some(lease) = lease else { break };
                    let runner = Arc::clone(&self.runner);
                    jobs.spawn(async move { runner.run(lease).await });
                }
            }
        }
        tracing::info!(in_flight = jobs.len(), "draining: no more leases");
        consumer.stop().await;
        self.drain(jobs).await;
        let summary = self.runner.summary();
        tracing::info!(?summary, "drained");
        Ok(summary)
    }

    /// Lets jobs in flight finish within the drain time, then interrupts them.
    async fn drain(&self, mut jobs: JoinSet<()>) {
        let grace = Duration::from_secs(self.config.drain_seconds);
        if tokio::time::timeout(grace, join_all(&mut jobs)).await.is_ok() {
            return;
        }
        tracing::warn!(in_flight = jobs.len(), "drain time is over: interrupting jobs");
        self.interrupt.cancel();
        join_all(&mut jobs).await;
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
