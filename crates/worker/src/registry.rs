//! The jobs that run in this process. A second lease of such a job joins its run.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use errors::Chain;
use queue::{Lane, Lease};
use tokio::sync::Notify;

use crate::lock;

/// The jobs that run in this process, by id.
#[derive(Default)]
pub(crate) struct Registry {
    runs: Mutex<HashMap<String, Arc<Run>>>,
}

/// The leases of one running job: one, unless the queue has delivered a copy of its message.
pub(crate) struct Run {
    /// The lane of the job.
    pub(crate) lane: Lane,
    /// The trace that the job belongs to.
    pub(crate) trace: String,
    /// `None` once the run is settled.
    leases: Mutex<Option<Vec<Box<dyn Lease>>>>,
    adopted: Notify,
    /// Whether the job may have run before, here or elsewhere.
    ran_before: AtomicBool,
    /// Whether this run may have written a record of itself.
    is_recorded: AtomicBool,
    /// Whether this run may have written checkpoints.
    has_checkpoints: AtomicBool,
    /// Whether a store that did not answer has kept a record or a checkpoint of a job that has ended.
    has_leftovers: AtomicBool,
    /// Whether one of the messages may have recorded a failure of the job and still lack its dead letter.
    may_lack_letter: AtomicBool,
}

/// A place in the registry, given up when it is dropped.
pub(crate) struct Registered<'a> {
    registry: &'a Registry,
    job: String,
    run: Arc<Run>,
}

impl Registry {
    /// Registers a run of `job`. Returns `None` if the job runs already: its run adopts the lease.
    /// `may_lack_letter`: the message may have recorded a failure of the job and still lack its dead letter.
    pub(crate) fn enter(
        &self,
        job: &str,
        lease: Box<dyn Lease>,
        may_lack_letter: bool,
    ) -> Option<Registered<'_>> {
        let mut runs = lock(&self.runs);
        let lease = match runs.get(job) {
            Some(run) => run.adopt(lease, may_lack_letter)?,
            None => lease,
        };
        let (lane, trace) = (lease.message().lane, lease.message().trace.clone());
        let run = Arc::new(Run {
            lane,
            trace,
            leases: Mutex::new(Some(vec![lease])),
            adopted: Notify::new(),
            ran_before: AtomicBool::new(false),
            is_recorded: AtomicBool::new(false),
            has_checkpoints: AtomicBool::new(false),
            has_leftovers: AtomicBool::new(false),
            may_lack_letter: AtomicBool::new(may_lack_letter),
        });
        // A run that is settled but not removed yet is replaced.
        runs.insert(job.to_owned(), Arc::clone(&run));
        Some(Registered { registry: self, job: job.to_owned(), run })
    }
}

impl Registry {
    /// Ends all runs and returns the leases of each.
    pub(crate) fn end_all(&self) -> Vec<Vec<Box<dyn Lease>>> {
        let runs: Vec<_> = lock(&self.runs).values().cloned().collect();
        runs.iter().map(|run| run.end()).collect()
    }
}

impl Run {
    /// Adds a lease; returns it if the run is settled.
    fn adopt(&self, lease: Box<dyn Lease>, may_lack_letter: bool) -> Option<Box<dyn Lease>> {
        let mut leases = lock(&self.leases);
        let Some(leases) = &mut *leases else { return Some(lease) };
        self.may_lack_letter.fetch_or(may_lack_letter, Ordering::Relaxed);
        leases.push(lease);
        // Whoever had the lease in between may have run the job.
        self.note_earlier_run();
        self.adopted.notify_one();
        None
    }

    /// Notes that the job may have run before.
    pub(crate) fn note_earlier_run(&self) {
        self.ran_before.store(true, Ordering::Relaxed);
    }

    /// Notes that this run writes a record of itself.
    pub(crate) fn note_record(&self) {
        self.is_recorded.store(true, Ordering::Relaxed);
    }

    /// Notes that this run writes a checkpoint.
    pub(crate) fn note_checkpoint(&self) {
        self.has_checkpoints.store(true, Ordering::Relaxed);
    }

    /// Logs that a record or a checkpoint could not be deleted, and notes it if that may succeed later.
    pub(crate) fn note_leftover(&self, error: &ledger::Error, message: &str) {
        tracing::warn!(error = Chain(error).to_string(), "{message}");
        self.has_leftovers.fetch_or(error.is_transient(), Ordering::Relaxed);
    }

    /// Returns whether a record or a checkpoint is left that may be deleted later.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.has_leftovers.load(Ordering::Relaxed)
    }

    /// Returns whether the job may have run before, here or elsewhere.
    pub(crate) fn ran_before(&self) -> bool {
        self.ran_before.load(Ordering::Relaxed)
    }

    /// Returns whether there may be a record of a run in the store, of this one or another.
    pub(crate) fn may_be_recorded(&self) -> bool {
        self.ran_before() || self.is_recorded.load(Ordering::Relaxed)
    }

    /// Returns whether there may be checkpoints of the job in the store, of this run or of others.
    pub(crate) fn may_have_checkpoints(&self) -> bool {
        self.ran_before() || self.has_checkpoints.load(Ordering::Relaxed)
    }

    /// Ends the run of a job whose failure was recorded before, and returns its leases, unless the dead
    /// letter may be missing: one of the messages may be that of the worker which recorded the failure and
    /// was lost before it sent the letter.
    pub(crate) fn end_superfluous(&self) -> Option<Vec<Box<dyn Lease>>> {
        // Nothing is adopted between the look and the end.
        let mut leases = lock(&self.leases);
        if self.may_lack_letter.load(Ordering::Relaxed) {
            return None;
        }
        Some(leases.take().unwrap_or_default())
    }

    /// Waits until the run has adopted a lease.
    pub(crate) async fn adopted(&self) {
        self.adopted.notified().await;
    }

    /// Returns whether no lease is left that may still be settled.
    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.leases).iter().flatten().all(|lease| lease.is_lost())
    }

    /// Takes all leases out of the run, which goes on.
    pub(crate) fn take(&self) -> Vec<Box<dyn Lease>> {
        lock(&self.leases).as_mut().map(mem::take).unwrap_or_default()
    }

    /// Ends the run and returns its leases. A lease that arrives later begins a run of its own.
    pub(crate) fn end(&self) -> Vec<Box<dyn Lease>> {
        lock(&self.leases).take().unwrap_or_default()
    }
}

impl std::ops::Deref for Registered<'_> {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.run
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        // Any lease that is left is dropped with the run, and returned by the queue.
        drop(self.run.end());
        let mut runs = lock(&self.registry.runs);
        if runs.get(&self.job).is_some_and(|run| Arc::ptr_eq(run, &self.run)) {
            runs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use queue::{MemoryQueue, Message, Origin, Queue};

    use super::*;

    async fn leases(count: u16) -> (MemoryQueue, Vec<Box<dyn Lease>>) {
        let queue = MemoryQueue::new();
        let mut consumer = queue.consume(Origin::Jobs(Lane::Normal), count).await.unwrap();
        let mut leases = Vec::new();
        for _ in 0..count {
            queue.publish(Message::new("m", "")).await.unwrap();
            leases.push(consumer.next().await.unwrap());
        }
        (queue, leases)
    }

    #[tokio::test]
    async fn a_second_lease_joins_the_run() {
        let (queue, mut leases) = leases(3).await;
        let registry = Registry::default();
        let mut lease = || leases.pop().unwrap();
        let run = registry.enter("a", lease(), false).unwrap();
        assert!(!run.is_lost());
        assert!(registry.enter("a", lease(), false).is_none());
        run.adopted().await;
        assert_eq!(run.end().len(), 2);
        assert!(run.is_lost());

        // The run is settled but has not left: the next lease begins another one.
        let next = registry.enter("a", lease(), false).unwrap();
        drop(run);
        assert!(registry.runs.lock().unwrap().contains_key("a"));
        drop(next);
        assert!(registry.runs.lock().unwrap().is_empty());
        assert_eq!(queue.depth().await.unwrap().ready, 3, "dropped leases come back");
    }

    #[tokio::test]
    async fn a_copy_that_nobody_has_had_is_superfluous_beside_a_recorded_failure() {
        let (queue, mut fresh) = leases(2).await;
        let registry = Registry::default();
        let enter = |lease: Box<dyn Lease>| {
            let may_lack_letter = lease.is_redelivered();
            registry.enter("a", lease, may_lack_letter)
        };
        let run = enter(fresh.pop().unwrap()).unwrap();
        assert!(enter(fresh.pop().unwrap()).is_none());
        let superfluous = run.end_superfluous().unwrap();
        assert_eq!(superfluous.len(), 2);
        drop((run, superfluous));

        // They come back as redelivered: one of them may have recorded the failure.
        let mut consumer = queue.consume(Origin::Jobs(Lane::Normal), 2).await.unwrap();
        queue.publish(Message::new("m", "")).await.unwrap();
        let mut leases = Vec::new();
        while leases.len() < 2 {
            leases.push(consumer.next().await.unwrap());
        }
        let run = enter(leases.pop().unwrap()).unwrap();
        assert!(enter(leases.pop().unwrap()).is_none());
        assert!(run.end_superfluous().is_none());
        assert_eq!(run.end().len(), 2);
    }

    #[tokio::test]
    async fn a_run_may_go_on_without_a_lease() {
        let (_queue, mut leases) = leases(2).await;
        let registry = Registry::default();
        let run = registry.enter("a", leases.pop().unwrap(), false).unwrap();
        assert_eq!(run.take().len(), 1);
        assert!(run.is_lost());
        assert!(registry.enter("a", leases.pop().unwrap(), false).is_none());
        assert!(!run.is_lost());
    }
}
