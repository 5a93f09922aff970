//! Rations cores among compute threads and borrowers.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use speech::compute::{Owner, Task};

use super::fair_queue::FairQueue;

/// The cores of a pool, and who waits for them.
#[derive(Debug)]
pub(super) struct Cores {
    width: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: FairQueue<Waiting>,
    borrowers: u64,
    busy: usize,
    closed: bool,
}

/// What waits for a core.
enum Waiting {
    /// Any compute thread runs it.
    Task(Task),
    /// A thread with this number, which waits.
    Borrower(u64),
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(_) => f.write_str("Task"),
            Self::Borrower(number) => f.debug_tuple("Borrower").field(number).finish(),
        }
    }
}

impl Cores {
    /// `shares` of the cores by class of owners.
    pub(super) fn new(width: usize, shares: &[f64]) -> Self {
        let queue = FairQueue::new(shares);
        let state = State { queue, borrowers: 0, busy: 0, closed: false };
        Self { width, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Queues a task.
    pub(super) fn push(&self, owner: Owner, task: Task) {
        self.lock().queue.push(owner, Waiting::Task(task));
        self.changed.notify_all();
    }

    /// Waits for a task and a free core; `None` once no task is left and the pool is closed.
    pub(super) fn next_task(&self) -> Option<(Core<'_>, Task)> {
        let mut state = self.lock();
        loop {
            let waiting = state.queue.peek();
            if waiting.is_none() && state.closed {
                return None;
            }
            if state.busy < self.width
                && matches!(waiting, Some(Waiting::Task(_)))
                && let Some((owner, Waiting::Task(task))) = state.queue.pop()
            {
                return Some((self.core(state, owner), task));
            }
            state = self.wait(state);
        }
    }

    /// Waits until a core is free for `owner`.
    pub(super) fn borrow(&self, owner: Owner) -> Core<'_> {
        let mut state = self.lock();
        state.borrowers += 1;
        let number = state.borrowers;
        state.queue.push(owner, Waiting::Borrower(number));
        loop {
            let is_next =
                matches!(state.queue.peek(), Some(Waiting::Borrower(next)) if *next == number);
            if state.busy < self.width && is_next {
                state.queue.pop();
                return self.core(state, owner);
            }
            state = self.wait(state);
        }
    }

    /// Lets [`Self::next_task`] return `None` once no task is left.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Returns whether a thread waits for a core.
    #[cfg(test)]
    pub(super) fn has_borrower(&self) -> bool {
        self.lock().borrowers > 0
    }

    fn core(&self, mut state: MutexGuard<'_, State>, owner: Owner) -> Core<'_> {
        state.busy += 1;
        drop(state);
        // Somebody else may be next now, and another core free.
        self.changed.notify_all();
        Core { cores: self, owner, since: Instant::now() }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is valid after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A core in use, freed on drop.
pub(super) struct Core<'a> {
    cores: &'a Cores,
    owner: Owner,
    since: Instant,
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        let mut state = self.cores.lock();
        state.busy -= 1;
        state.queue.done(self.owner, self.since.elapsed().as_secs_f64());
        drop(state);
        self.cores.changed.notify_all();
    }
}
