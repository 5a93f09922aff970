//! Rations cores among compute threads and borrowers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use speech::compute::Task;

use super::task_queue::TaskQueue;

/// The cores of a pool, and the tasks that wait for them.
#[derive(Debug)]
pub(super) struct Cores {
    width: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tasks: TaskQueue,
    busy: usize,
    closed: bool,
}

impl Cores {
    pub(super) fn new(width: usize) -> Self {
        Self { width, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Queues a task.
    pub(super) fn push(&self, cost: f64, task: Task) {
        self.lock().tasks.push(cost, task);
        self.changed.notify_all();
    }

    /// Waits for a task and a free core; `None` once the queue is empty and closed.
    pub(super) fn next_task(&self) -> Option<(Core<'_>, Task)> {
        let (core, task) = self.acquire(|state| match state.tasks.pop() {
            Some(task) => Some(Some(task)),
            None => state.closed.then_some(None),
        });
        Some((core, task?))
    }

    /// Waits until a core is free and no task is queued.
    pub(super) fn borrow(&self) -> Core<'_> {
        self.acquire(|state| state.tasks.is_empty().then_some(())).0
    }

    /// Lets [`Self::next_task`] return `None` once the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is valid after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a core is free and `take` returns something for it.
    fn acquire<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> (Core<'_>, T) {
        let mut state = self.lock();
        loop {
            if state.busy < self.width
                && let Some(taken) = take(&mut state)
            {
                state.busy += 1;
                drop(state);
                // A borrower that waits for an empty queue may have looked before this call took
                // the last task.
                self.changed.notify_all();
                return (Core { cores: self }, taken);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A core in use, freed on drop.
pub(super) struct Core<'a> {
    cores: &'a Cores,
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.cores.lock().busy -= 1;
        self.cores.changed.notify_all();
    }
}
