//! The interface of the compute pool, which runs the work of the pipeline. The worker implements it.

/// A unit of work that a pool runs once.
pub type Task = Box<dyn FnOnce() + Send>;

/// A pool of a fixed number of cores, which all recordings in flight share.
pub trait Compute: Send + Sync {
    /// Returns the number of cores.
    fn width(&self) -> usize;

    /// Queues `task` for one of the pool's threads. The most expensive task runs first, so that a
    /// long recording does not start when all others have ended.
    fn spawn(&self, cost: f64, task: Task);

    /// Runs `work` on the calling thread as soon as a core is free for it. Queued tasks go first,
    /// because they hold memory, while `work` allocates more.
    fn run(&self, work: &mut dyn FnMut());
}

/// Returns the CPU time of the calling thread, in seconds.
pub fn thread_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
