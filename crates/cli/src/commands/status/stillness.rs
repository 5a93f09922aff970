//! Recognizes that jobs of a batch have vanished: nothing happens, and the queue is empty.

use std::time::Duration;

use ledger::Tally;
use tokio::time::Instant;

/// How long nothing must happen, with an empty queue, until jobs count as vanished. Longer than a worker
/// takes from the lease of a job to the record of its run.
const VANISHED: Duration = Duration::from_secs(120);

/// Since when a batch shows no sign of life.
pub(super) struct Stillness {
    /// How long a worker holds a message before it shows in the queue; `None`: the queue cannot be
    /// looked at.
    lease_time: Option<Duration>,
    tally: Tally,
    since: Option<Instant>,
}

impl Stillness {
    pub(super) fn new(lease_time: Option<Duration>) -> Self {
        Self { lease_time, tally: Tally::default(), since: None }
    }

    /// Returns whether the jobs that are not done have vanished. `waiting` is the number of messages in
    /// the queue, if it answers.
    pub(super) fn is_over(&mut self, tally: Tally, waiting: Option<u64>, now: Instant) -> bool {
        let Some(lease_time) = self.lease_time else { return false };
        let changed = std::mem::replace(&mut self.tally, tally) != tally;
        if changed || waiting != Some(0) || tally.jobs.is_none() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        // A job that runs for longer than the lease time has a parked message.
        let limit = if tally.running > 0 { VANISHED + 2 * lease_time } else { VANISHED };
        now - since >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(900);

    fn tally(running: u64, done: u64) -> Tally {
        Tally { jobs: Some(9), queued: 9 - running - done, running, done, failed: 0 }
    }

    #[test]
    fn jobs_vanish_when_nothing_happens_and_the_queue_is_empty() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut still = Stillness::new(Some(LEASE));
        let mut at =
            |tally, waiting, seconds| still.is_over(tally, waiting, start + seconds * second);
        assert!(!at(tally(0, 5), Some(0), 0));
        assert!(!at(tally(0, 5), Some(0), 10));
        assert!(!at(tally(0, 5), Some(0), 129));
        assert!(at(tally(0, 5), Some(0), 130));
        // Any sign of life begins the wait anew.
        assert!(!at(tally(0, 6), Some(0), 200));
        assert!(!at(tally(0, 6), Some(1), 400));
        assert!(!at(tally(0, 6), None, 600));
        assert!(!at(tally(0, 6), Some(0), 800));
        assert!(!at(tally(1, 6), Some(0), 900), "a job began to run");
        assert!(!at(tally(1, 6), Some(0), 901));
        assert!(!at(tally(1, 6), Some(0), 2820), "it may run for as long before it is parked");
        assert!(at(tally(1, 6), Some(0), 2821));
        let mut blind = Stillness::new(None);
        assert!(
            !blind.is_over(tally(0, 5), None, start)
                && !blind.is_over(tally(0, 5), None, start + LEASE)
        );
    }
}
