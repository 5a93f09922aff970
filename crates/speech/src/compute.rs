//! The interface of the compute pool, which runs the work of the pipeline. The worker implements it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A unit of work that a pool runs once.
pub type Task = Box<dyn FnOnce() + Send>;

/// Whose work it is: usually that of one recording. A pool divides its cores fairly between the owners of
/// a class, and between the classes by their shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    number: u64,
    class: usize,
}

impl Owner {
    /// Creates an owner that differs from all others. What a class is, and its share, is the pool's
    /// matter; there is always a class 0.
    pub fn new(class: usize) -> Self {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        Self { number: CREATED.fetch_add(1, Ordering::Relaxed), class }
    }

    pub fn class(self) -> usize {
        self.class
    }
}

/// A pool of a fixed number of cores, which all recordings in flight share.
pub trait Compute: Send + Sync {
    /// Returns the number of cores.
    fn width(&self) -> usize;

    /// Queues `task` for one of the pool's threads.
    fn spawn(&self, owner: Owner, task: Task);

    /// Runs `work` on the calling thread as soon as it is the owner's turn and a core is free.
    fn run(&self, owner: Owner, work: &mut dyn FnMut());
}

/// Returns the CPU time of the calling thread, in seconds.
pub fn thread_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
