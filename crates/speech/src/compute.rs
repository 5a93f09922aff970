//! Where the pipeline's work runs. The pool itself belongs to whoever runs recordings (the worker).

/// A unit of work that a pool runs once.
pub type Task = Box<dyn FnOnce() + Send>;

/// A fixed number of cores that all recordings in flight share.
pub trait Compute: Send + Sync {
    /// Number of cores.
    fn width(&self) -> usize;

    /// Queues `task` for one of the pool's threads, which runs it sooner or later. The dearest task runs first, so that a long
    /// recording does not begin when everything else has ended.
    fn spawn(&self, cost: f64, task: Task);

    /// Runs `work` on the calling thread once a core is free for it. Queued tasks go first: they
    /// hold memory, while `work` would add to it.
    fn run(&self, work: &mut dyn FnMut());
}

/// CPU time of the calling thread, in seconds.
pub fn thread_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
