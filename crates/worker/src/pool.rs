use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use speech::compute::{Compute, Task};

use crate::affinity;

/// As many threads as cores were granted, shared by all recordings in flight.
///
/// Cores, not threads, are what is rationed: [`Compute::run`] borrows a core for work on the
/// caller's own thread (decoding, which must be able to block on the network between two blocks).
#[derive(Debug)]
pub struct ComputePool {
    shared: Arc<Shared>,
    width: usize,
}

#[derive(Debug)]
struct Shared {
    width: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tasks: BinaryHeap<Queued>,
    busy: usize,
    closed: bool,
    spawned: u64,
}

struct Queued {
    cost: f64,
    /// Breaks ties: first come, first served.
    number: u64,
    task: Task,
}

impl ComputePool {
    /// Starts `width` threads (at least one).
    pub fn new(width: usize) -> io::Result<Self> {
        Self::start(width, &[])
    }

    /// As [`Self::new`], and each thread stays on one CPU of those that this process may use, in
    /// turn. Work that [`Compute::run`] does on a caller's thread is not bound.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] elsewhere than on Linux; what the system says if it refuses.
    pub fn pinned(width: usize) -> io::Result<Self> {
        Self::start(width, &affinity::cpus()?)
    }

    fn start(width: usize, cpus: &[usize]) -> io::Result<Self> {
        let width = width.max(1);
        let shared = Arc::new(Shared {
            width,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let pool = Self { shared, width };
        let (started, starts) = mpsc::channel();
        for index in 0..width {
            let (shared, started) = (Arc::clone(&pool.shared), started.clone());
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            thread::Builder::new().name(format!("compute-{index}")).spawn(move || {
                // Nobody listens any more if another thread could not be bound.
                let _ = started.send(cpu.map_or(Ok(()), affinity::pin));
                drop(started);
                shared.serve();
            })?;
        }
        drop(started);
        starts.into_iter().collect::<io::Result<()>>()?;
        Ok(pool)
    }
}

impl Compute for ComputePool {
    fn width(&self) -> usize {
        self.width
    }

    fn spawn(&self, cost: f64, task: Task) {
        let mut state = self.shared.lock();
        state.spawned += 1;
        let number = state.spawned;
        state.tasks.push(Queued { cost, number, task });
        drop(state);
        self.shared.changed.notify_all();
    }

    fn run(&self, work: &mut dyn FnMut()) {
        let _core = self.shared.acquire(|state| state.tasks.is_empty().then_some(()));
        work();
    }
}

impl Drop for ComputePool {
    /// The threads end once the queue is empty; they are not waited for.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state is valid between any two lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a core is free and there is something for it.
    fn acquire<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> (Core<'_>, T) {
        let mut state = self.lock();
        loop {
            if state.busy < self.width
                && let Some(taken) = take(&mut state)
            {
                state.busy += 1;
                drop(state);
                // Who waits for an empty queue may have looked before this took the last task.
                self.changed.notify_all();
                return (Core { shared: self }, taken);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn serve(&self) {
        loop {
            let (core, next) = self.acquire(|state| match state.tasks.pop() {
                Some(queued) => Some(Some(queued)),
                None => state.closed.then_some(None),
            });
            let Some(queued) = next else { return };
            // Tasks answer for their own panics; this one keeps the thread alive.
            if panic::catch_unwind(AssertUnwindSafe(queued.task)).is_err() {
                tracing::error!("a compute task panicked");
            }
            drop(core);
        }
    }
}

/// A core in use.
struct Core<'a> {
    shared: &'a Shared,
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.shared.lock().busy -= 1;
        self.shared.changed.notify_all();
    }
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost).then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn runs_the_dearest_task_first_and_equals_in_order() {
        let pool = ComputePool::new(1).unwrap();
        let (sender, receiver) = mpsc::channel();
        let (gate, gate_receiver) = mpsc::channel::<()>();
        pool.spawn(0.0, Box::new(move || gate_receiver.recv().unwrap()));
        for (cost, name) in [(1.0, "a"), (3.0, "b"), (1.0, "c"), (2.0, "d")] {
            let sender = sender.clone();
            pool.spawn(cost, Box::new(move || sender.send(name).unwrap()));
        }
        gate.send(()).unwrap();
        drop(sender);
        // The first task may have been taken before or after the others came; the rest is ordered.
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["b", "d", "a", "c"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pinned_threads_stay_on_cpus_of_the_process() {
        let cpus = affinity::cpus().unwrap();
        // More threads than CPUs: they take turns.
        let width = cpus.len() + 1;
        let pool = ComputePool::pinned(width).unwrap();
        let (sender, receiver) = mpsc::channel();
        let all = Arc::new(std::sync::Barrier::new(width));
        for _ in 0..width {
            let (sender, all) = (sender.clone(), Arc::clone(&all));
            pool.spawn(
                0.0,
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
        assert_eq!(affinity::cpus().unwrap(), cpus, "the caller is where it was");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_cpu_that_is_not_there_is_an_error() {
        assert!(ComputePool::start(2, &[1023]).is_err());
    }

    #[test]
    fn never_uses_more_cores_than_it_has() {
        let pool = Arc::new(ComputePool::new(2).unwrap());
        let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
            move || {
                most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
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
                        pool.spawn(0.0, Box::new(task));
                        pool.run(&mut || work());
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_free_core_is_lent_while_another_works() {
        let pool = ComputePool::new(2).unwrap();
        for _ in 0..20 {
            let (gate, is_open) = mpsc::channel();
            let (sender, receiver) = mpsc::channel();
            let task = move || sender.send(is_open.recv_timeout(Duration::from_secs(5))).unwrap();
            pool.spawn(0.0, Box::new(task));
            // Waits for the task to be taken, not to be done.
            pool.run(&mut || gate.send(()).unwrap());
            assert_eq!(receiver.recv().unwrap(), Ok(()));
        }
    }

    #[test]
    fn survives_panics_of_tasks_and_of_borrowed_work() {
        let pool = ComputePool::new(1).unwrap();
        pool.spawn(0.0, Box::new(|| panic!("on purpose")));
        let borrowed =
            panic::catch_unwind(AssertUnwindSafe(|| pool.run(&mut || panic!("on purpose"))));
        assert!(borrowed.is_err());
        let mut ran = false;
        pool.run(&mut || ran = true);
        assert!(ran);
    }
}
