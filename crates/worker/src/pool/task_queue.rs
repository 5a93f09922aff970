//! Queued tasks, the most expensive first.

use std::{cmp::Ordering, collections::BinaryHeap, fmt};

use speech::compute::Task;

/// A priority queue of tasks: the most expensive first, equal ones in order of arrival.
#[derive(Debug, Default)]
pub(super) struct TaskQueue {
    tasks: BinaryHeap<QueuedTask>,
    pushed: u64,
}

impl TaskQueue {
    pub(super) fn push(&mut self, cost: f64, task: Task) {
        self.pushed += 1;
        self.tasks.push(QueuedTask { cost, number: self.pushed, task });
    }

    pub(super) fn pop(&mut self) -> Option<Task> {
        self.tasks.pop().map(|queued| queued.task)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

struct QueuedTask {
    cost: f64,
    /// Orders tasks of equal cost.
    number: u64,
    task: Task,
}

impl fmt::Debug for QueuedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedTask").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Ord for QueuedTask {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost).then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for QueuedTask {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for QueuedTask {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for QueuedTask {}
