//! The compute pool: the cores that all recordings in flight share.

mod affinity;
mod cores;
mod fair_queue;

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    thread,
};

use speech::compute::{Compute, Owner, Task};

use self::cores::Cores;

/// A pool of compute threads, one per core that was granted.
///
/// The pool rations cores, not threads: [`Compute::run`] borrows a core for work on the calling
/// thread, such as decoding, which must be able to block on the network between two blocks.
///
/// ```
/// use speech::compute::{Compute, Owner};
///
/// let pool = worker::ComputePool::new(2)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// pool.spawn(Owner::new(0), Box::new(move || sender.send("done").unwrap()));
/// assert_eq!(receiver.recv(), Ok("done"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ComputePool {
    cores: Arc<Cores>,
}

impl ComputePool {
    /// Starts `width` threads, at least one, for one class of work.
    ///
    /// # Errors
    /// If the system refuses to start a thread.
    pub fn new(width: usize) -> io::Result<Self> {
        Self::with_shares(width, &[])
    }

    /// Starts `width` threads, at least one. `shares` has the share of the cores of each class of
    /// work, by index; what a class does not use, the others get. The last class also has the work of
    /// classes beyond it.
    ///
    /// # Errors
    /// If the system refuses to start a thread.
    pub fn with_shares(width: usize, shares: &[f64]) -> io::Result<Self> {
        Self::start(width, shares, &[])
    }

    /// As [`Self::with_shares`], and binds each thread to one of the CPUs that this process may use, round
    /// robin. Work that [`Compute::run`] runs on a calling thread is not bound.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] on systems other than Linux; the system's error if it refuses
    /// to start or to bind a thread.
    pub fn pinned(width: usize, shares: &[f64]) -> io::Result<Self> {
        Self::start(width, shares, &affinity::cpus()?)
    }

    fn start(width: usize, shares: &[f64], cpus: &[usize]) -> io::Result<Self> {
        let width = width.max(1);
        let pool = Self { cores: Arc::new(Cores::new(width, shares)) };
        let (started, starts) = mpsc::channel();
        for index in 0..width {
            let (cores, started) = (Arc::clone(&pool.cores), started.clone());
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            thread::Builder::new().name(format!("compute-{index}")).spawn(move || {
                // Sending fails if another thread could not be bound and the receiver is gone.
                let _ = started.send(cpu.map_or(Ok(()), affinity::pin));
                drop(started);
                serve(&cores);
            })?;
        }
        drop(started);
        starts.into_iter().collect::<io::Result<()>>()?;
        Ok(pool)
    }
}

/// Runs tasks until the pool is closed.
fn serve(cores: &Cores) {
    while let Some((core, task)) = cores.next_task() {
        // The code that spawns a task handles its panics; this only keeps the thread alive.
        if panic::catch_unwind(AssertUnwindSafe(task)).is_err() {
            tracing::error!("a compute task panicked");
        }
        drop(core);
    }
}

impl Compute for ComputePool {
    fn width(&self) -> usize {
        self.cores.width()
    }

    fn spawn(&self, owner: Owner, task: Task) {
        self.cores.push(owner, task);
    }

    fn run(&self, owner: Owner, work: &mut dyn FnMut()) {
        let _core = self.cores.borrow(owner);
        work();
    }
}

impl Drop for ComputePool {
    /// Lets the threads end once the queue is empty, without waiting for them.
    fn drop(&mut self) {
        self.cores.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_short_recording_does_not_wait_for_the_tasks_of_a_long_one() {
        let pool = Arc::new(ComputePool::new(1).unwrap());
        let [first, long, short] = [0; 3].map(Owner::new);
        let (sender, receiver) = mpsc::channel();
        let (gate, is_open) = mpsc::channel::<()>();
        pool.spawn(first, Box::new(move || is_open.recv().unwrap()));
        for name in ["long 1", "long 2", "long 3"] {
            let sender = sender.clone();
            let work = move || {
                thread::sleep(Duration::from_millis(5));
                sender.send(name).unwrap();
            };
            pool.spawn(long, Box::new(work));
        }
        // Decoding on a borrowed core, in turn with the tasks.
        let borrower = thread::spawn({
            let (pool, sender) = (Arc::clone(&pool), sender.clone());
            move || pool.run(short, &mut || sender.send("short").unwrap())
        });
        while !pool.cores.has_borrower() {
            thread::yield_now();
        }
        gate.send(()).unwrap();
        borrower.join().unwrap();
        drop(sender);
        let order = receiver.iter().collect::<Vec<_>>();
        assert!(order.iter().position(|name| *name == "short").unwrap() <= 1, "{order:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pinned_threads_stay_on_cpus_of_the_process() {
        let cpus = affinity::cpus().unwrap();
        // More threads than CPUs: some share a CPU.
        let width = cpus.len() + 1;
        let pool = ComputePool::pinned(width, &[]).unwrap();
        let (sender, receiver) = mpsc::channel();
        let all = Arc::new(std::sync::Barrier::new(width));
        for _ in 0..width {
            let (sender, all) = (sender.clone(), Arc::clone(&all));
            pool.spawn(
                Owner::new(0),
                Box::new(move || {
                    sender.send(affinity::cpus().unwrap()).unwrap();
                    all.wait();
                }),
            );
        }
        drop(sender);
        let mut found: Vec<usize> = receiver.iter().flatten().collect();
        found.sort_unstable();
        let mut expected = [&cpus[..], &cpus[..1]].concat();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(affinity::cpus().unwrap(), cpus, "the calling thread is not bound");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_missing_cpu_is_an_error() {
        assert!(ComputePool::start(2, &[], &[1023]).is_err());
    }

    #[test]
    fn never_uses_more_cores_than_it_has() {
        let pool = Arc::new(ComputePool::new(2).unwrap());
        let (busy, max_busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (busy, max_busy) = (Arc::clone(&busy), Arc::clone(&max_busy));
            move || {
                max_busy.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
                busy.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (pool, work) = (Arc::clone(&pool), work.clone());
                thread::spawn(move || {
                    for _ in 0..10 {
                        let task = work.clone();
                        let owner = Owner::new(0);
                        pool.spawn(owner, Box::new(task));
                        pool.run(owner, &mut || work());
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(max_busy.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_free_core_is_lent_while_another_works() {
        let pool = ComputePool::new(2).unwrap();
        for _ in 0..20 {
            let (gate, is_open) = mpsc::channel();
            let (sender, receiver) = mpsc::channel();
            let task = move || sender.send(is_open.recv_timeout(Duration::from_secs(5))).unwrap();
            let owner = Owner::new(0);
            pool.spawn(owner, Box::new(task));
            // Waits until the task is taken, but not until it is done.
            pool.run(owner, &mut || gate.send(()).unwrap());
            assert_eq!(receiver.recv().unwrap(), Ok(()));
        }
    }

    #[test]
    fn survives_panics_of_tasks_and_of_work_on_borrowed_cores() {
        let pool = ComputePool::new(1).unwrap();
        let owner = Owner::new(0);
        pool.spawn(owner, Box::new(|| panic!("on purpose")));
        let borrowed = panic::catch_unwind(AssertUnwindSafe(|| {
            pool.run(owner, &mut || panic!("on purpose"));
        }));
        assert!(borrowed.is_err());
        let mut ran = false;
        pool.run(owner, &mut || ran = true);
        assert!(ran);
    }
}
