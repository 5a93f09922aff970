//! Publishes the jobs of the parts that are written, with many confirms in flight, and records how far
//! it has come.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use job::{Job, Published};
use ledger::{Ledger, SubmissionLedger};
use queue::{AmqpQueue, Counts, Lane, Message, Queue};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::progress::SubmissionProgress;

/// Jobs that are published concurrently: the broker confirms them in groups.
const CONCURRENT_PUBLISHES: usize = 512;
/// Confirmed jobs after which the progress is recorded.
const JOBS_PER_RECORD: u64 = 1000;
/// Jobs that are published ahead of the latest record, and so at most published twice after a crash.
const MAX_UNRECORDED: u64 = 4000;

/// How long a message waits for a broker that does not confirm it. A broker that is short of memory or disk
/// stops publishers for minutes, and then goes on.
const PATIENCE: Duration = Duration::from_secs(300);
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How far the broker has confirmed jobs, and the number of those in this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmed {
    pub(super) published: Published,
    pub(super) jobs: u64,
}

/// The jobs of one part that are not known to be published.
pub(super) struct PartJobs {
    pub(super) number: u32,
    /// Jobs of the part that precede these.
    pub(super) first: usize,
    /// With their generation.
    pub(super) jobs: Vec<(Job, u32)>,
}

pub(super) struct Publisher<'a> {
    pub(super) queue: &'a AmqpQueue,
    pub(super) lane: Lane,
    pub(super) jobs: &'a Ledger,
    pub(super) progress: &'a SubmissionProgress,
    pub(super) stop: &'a CancellationToken,
    /// Whether the broker was reported not to confirm messages.
    pub(super) has_warned: AtomicBool,
    /// The trace that the jobs belong to.
    pub(super) trace: String,
    /// Jobs that had failed, and are submitted again.
    pub(super) resubmitted: AtomicU64,
}

impl Publisher<'_> {
    /// Publishes the jobs of all parts in their order, and reports to `confirmed` how many the broker
    /// has confirmed. When it is told to stop, it waits for the confirms in flight. It does not go far
    /// ahead of `recorded`, the number of jobs whose confirmation is recorded.
    ///
    /// # Errors
    ///
    /// A job could not be published; what was confirmed before is reported.
    pub(super) async fn publish(
        &self,
        parts: mpsc::Receiver<PartJobs>,
        confirmed: watch::Sender<Confirmed>,
        recorded: watch::Receiver<u64>,
    ) -> anyhow::Result<()> {
        let jobs = ReceiverStream::new(parts).flat_map(|PartJobs { number, first, jobs }| {
            futures::stream::iter(jobs.into_iter().enumerate().map(move |(index, job)| {
                let after = Published { part: number, jobs: first + index + 1, complete: false };
                (after, job)
            }))
        });
        let confirms = jobs
            .take_until(self.stop.cancelled())
            .enumerate()
            .map(|(index, (after, (job, generation)))| {
                let mut recorded = recorded.clone();
                async move {
                    let is_near = |recorded: &u64| (index as u64) < recorded + MAX_UNRECORDED;
                    let near = recorded.wait_for(is_near).await.map(drop);
                    near.context("what is published cannot be recorded")?;
                    self.publish_job(job, generation).await?;
                    anyhow::Ok(after)
                }
            })
            // In order, so that one number says what is confirmed.
            .buffered(CONCURRENT_PUBLISHES);
        let mut confirms = std::pin::pin!(confirms);
        let mut last = *confirmed.borrow();
        let result = loop {
            match confirms.try_next().await {
                Ok(Some(published)) => {
                    last = Confirmed { published, jobs: last.jobs + 1 };
                    self.has_warned.store(false, Relaxed);
                    self.progress.published();
                    if last.jobs.is_multiple_of(JOBS_PER_RECORD) {
                        confirmed.send_replace(last);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        confirmed.send_replace(last);
        result
    }

    async fn publish_job(&self, job: Job, generation: u32) -> anyhow::Result<()> {
        if generation > 0 {
            let recorded = self.jobs.resubmit(&job, generation).await;
            recorded.context("cannot record that the job is submitted again")?;
            self.resubmitted.fetch_add(1, Relaxed);
        }
        let counts = Counts { generation, ..Counts::default() };
        let body = job.to_vec();
        let (lane, trace) = (self.lane, self.trace.clone());
        let message = Message { lane, counts, trace, ..Message::new(job.id, body) };
        let start = Instant::now();
        loop {
            match self.queue.publish(message.clone()).await {
                Ok(()) => return Ok(()),
                Err(error)
                    if error.is_transient()
                        && start.elapsed() < PATIENCE
                        && !self.stop.is_cancelled() =>
                {
                    if !self.has_warned.swap(true, Relaxed) {
                        let seconds = PATIENCE.as_secs();
                        self.progress.say(&format!("trying again for {seconds} s: {error:#}"));
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Records how far the broker has confirmed jobs whenever that changes, and at the end; reports to
/// `recorded` the number of jobs. If that fails, nothing more is published.
pub(super) async fn record(
    ledger: SubmissionLedger,
    mut confirmed: watch::Receiver<Confirmed>,
    recorded: watch::Sender<u64>,
) -> Result<(), ledger::Error> {
    while confirmed.changed().await.is_ok() {
        let Confirmed { published, jobs } = *confirmed.borrow_and_update();
        ledger.write_published(published).await?;
        recorded.send_replace(jobs);
    }
    Ok(())
}
