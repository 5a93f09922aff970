//! The number of jobs of a batch by state.

use std::fmt;

use serde::Serialize;

/// Number of jobs of a batch by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All jobs; absent while the batch is being submitted.
    pub jobs: Option<u64>,
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
}

impl Tally {
    /// Returns whether every job is done or failed.
    pub fn is_over(&self) -> bool {
        self.jobs.is_some_and(|jobs| self.done + self.failed >= jobs)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queued, running, done, failed, .. } = self;
        write!(f, "{queued} queued, {running} running, {done} done, {failed} failed")?;
        if self.jobs.is_none() {
            write!(f, " (still being submitted)")?;
        }
        Ok(())
    }
}
