//! Admits recordings by the memory that they will take.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::lock;

/// How often a recording that waits looks whether it is interrupted.
const INTERRUPTION_CHECK: Duration = Duration::from_millis(200);

/// The memory that recordings in flight may take together. Each reserves what it is estimated to take
/// before it is decoded, in the order of arrival; one alone is always admitted.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    /// Bytes for the process, above which no more is admitted.
    high_water: u64,
    state: Mutex<State>,
    released: Condvar,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that the process has without the recordings in flight: program, models, activations.
    base: u64,
    /// Bytes of the process, as last seen.
    resident: u64,
    reserved: u64,
    in_flight: usize,
    /// Numbers of those that wait, in the order of arrival.
    waiting: std::collections::VecDeque<u64>,
    arrived: u64,
}

/// The share of one recording, returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

/// The budget at one time, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryState {
    pub high_water: u64,
    pub resident: u64,
    pub reserved: u64,
    pub waiting: usize,
}

impl MemoryBudget {
    pub(crate) fn new(high_water: u64) -> Self {
        let (state, released, changed) = (Mutex::default(), Condvar::new(), Notify::new());
        Self { high_water, state, released, changed }
    }

    /// Takes note of the memory of the process.
    pub(crate) fn observe(&self, resident: u64) {
        let mut state = lock(&self.state);
        let was_short = self.is_short_in(&state);
        state.resident = resident;
        // Recordings may not have taken yet what they reserved, so this is a lower bound.
        state.base = state.base.max(resident.saturating_sub(state.reserved));
        if self.is_short_in(&state) != was_short {
            self.changed.notify_one();
        }
    }

    /// Returns whether no more jobs should be leased: the process is above the high-water mark, or
    /// recordings wait for memory.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short_in(&lock(&self.state))
    }

    /// Waits until [`Self::is_short`] may have another answer.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn state(&self) -> MemoryState {
        let state = lock(&self.state);
        MemoryState {
            high_water: self.high_water,
            resident: state.resident,
            reserved: state.reserved,
            waiting: state.waiting.len(),
        }
    }

    /// Waits until there is memory for `bytes`, or `is_interrupted` (`None`). Blocks the thread.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        bytes: u64,
        is_interrupted: impl Fn() -> bool,
    ) -> Option<Reservation> {
        let mut state = lock(&self.state);
        state.arrived += 1;
        let number = state.arrived;
        state.waiting.push_back(number);
        while !self.admits(&state, number, bytes) {
            self.changed.notify_one();
            let waited = self.released.wait_timeout(state, INTERRUPTION_CHECK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if is_interrupted() {
                state.waiting.retain(|waiting| *waiting != number);
                self.released.notify_all();
                return None;
            }
        }
        state.waiting.pop_front();
        state.reserved += bytes;
        state.in_flight += 1;
        drop(state);
        // The next one may fit as well.
        self.released.notify_all();
        self.changed.notify_one();
        Some(Reservation { budget: Arc::clone(self), bytes })
    }

    fn admits(&self, state: &State, number: u64, bytes: u64) -> bool {
        let fits =
            state.base.saturating_add(state.reserved).saturating_add(bytes) <= self.high_water;
        state.waiting.front() == Some(&number) && (fits || state.in_flight == 0)
    }

    fn is_short_in(&self, state: &State) -> bool {
        // An idle process leases, however large it is: else it would never do anything again.
        state.in_flight > 0 && (state.resident > self.high_water || !state.waiting.is_empty())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = lock(&self.budget.state);
        state.reserved -= self.bytes;
        state.in_flight -= 1;
        drop(state);
        self.budget.released.notify_all();
        self.budget.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn what_does_not_fit_waits_in_order() {
        let budget = Arc::new(MemoryBudget::new(100));
        budget.observe(40);
        let first = budget.reserve(50, || false).unwrap();
        assert!(!budget.is_short());
        let (sender, admitted) = mpsc::channel();
        let mut threads = Vec::new();
        // The second does not fit; the third would, and waits behind it.
        for (position, bytes) in [(0, 55), (1, 5)] {
            let (budget, sender) = (Arc::clone(&budget), sender.clone());
            let other = Arc::clone(&budget);
            threads.push(thread::spawn(move || {
                let reservation = budget.reserve(bytes, || false).unwrap();
                sender.send(bytes).unwrap();
                reservation
            }));
            while other.state().waiting <= position {
                thread::yield_now();
            }
        }
        assert!(budget.is_short() && admitted.try_recv().is_err());
        drop(first);
        let mut order = [admitted.recv().unwrap(), admitted.recv().unwrap()];
        order.sort_unstable();
        assert_eq!(order, [5, 55]);
        let held: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(budget.state().reserved, 60);
        drop(held);
        assert_eq!(budget.state().reserved, 0);
    }

    #[test]
    fn one_recording_is_always_admitted() {
        let budget = Arc::new(MemoryBudget::new(100));
        budget.observe(90);
        let huge = budget.reserve(1 << 40, || false).unwrap();
        assert!(budget.reserve(1, || true).is_none(), "interrupted while it waits");
        drop(huge);
        assert!(budget.reserve(1, || false).is_some());
    }

    #[test]
    fn the_base_grows_to_what_the_process_has_besides() {
        let budget = Arc::new(MemoryBudget::new(100));
        budget.observe(10);
        let _first = budget.reserve(20, || false).unwrap();
        // Activations were allocated: 60 bytes more than what was reserved explains.
        budget.observe(90);
        assert!(!budget.is_short());
        assert!(budget.reserve(20, || true).is_none());
        budget.observe(101);
        assert!(budget.is_short());
    }
}
