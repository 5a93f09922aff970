//! Counts the jobs of a batch by state.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

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

/// What the names of a batch's records say about its jobs.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) running: HashSet<String>,
    pub(crate) done: HashSet<String>,
    /// The last generation in which each job failed.
    pub(crate) failed: HashMap<String, u32>,
    /// The last generation in which each job was submitted, if not the first.
    pub(crate) resubmitted: HashMap<String, u32>,
}

impl State {
    pub fn is_done(&self, job: &str) -> bool {
        self.done.contains(job)
    }

    /// Returns the generation in which the job failed, unless it is done or was submitted again.
    pub fn failure(&self, job: &str) -> Option<u32> {
        let generation = *self.failed.get(job)?;
        let current = self.resubmitted.get(job).copied().unwrap_or(0);
        (!self.is_done(job) && generation >= current).then_some(generation)
    }

    /// Returns the generation for another submission of the job.
    pub fn next_generation(&self, job: &str) -> u32 {
        let after = |generations: &HashMap<String, u32>| {
            generations.get(job).map_or(0, |generation| generation.saturating_add(1))
        };
        after(&self.failed).max(self.resubmitted.get(job).copied().unwrap_or(0))
    }

    /// Returns the jobs that failed, with the generation.
    pub fn failures(&self) -> impl Iterator<Item = (&str, u32)> {
        let jobs = self.failed.keys();
        jobs.filter_map(|job| Some((job.as_str(), self.failure(job)?)))
    }

    /// Counts every job once: as done rather than failed, as failed rather than running.
    pub fn tally(&self, jobs: Option<u64>) -> Tally {
        let done = self.done.len() as u64;
        let failed = self.failures().count() as u64;
        let runs = |job: &&String| !self.is_done(job) && self.failure(job).is_none();
        let running = self.running.iter().filter(runs).count() as u64;
        let queued = jobs.unwrap_or(0).saturating_sub(done + failed + running);
        Tally { jobs, queued, running, done, failed }
    }

    pub(crate) fn insert_last(generations: &mut HashMap<String, u32>, job: &str, generation: u32) {
        let last = generations.entry(job.to_owned()).or_default();
        *last = generation.max(*last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(
        running: &[&str],
        done: &[&str],
        failed: &[(&str, u32)],
        resubmitted: &[(&str, u32)],
    ) -> State {
        let jobs = |jobs: &[&str]| jobs.iter().map(|job| (*job).to_owned()).collect();
        let mut state = State { running: jobs(running), done: jobs(done), ..State::default() };
        for (job, generation) in failed {
            State::insert_last(&mut state.failed, job, *generation);
        }
        for (job, generation) in resubmitted {
            State::insert_last(&mut state.resubmitted, job, *generation);
        }
        state
    }

    fn counts(state: &State) -> (u64, u64, u64, u64) {
        let Tally { queued, running, done, failed, .. } = state.tally(Some(5));
        (queued, running, done, failed)
    }

    #[test]
    fn every_job_is_counted_once() {
        let all = state(&["a", "b", "c"], &["a"], &[("a", 0), ("b", 0)], &[]);
        assert_eq!(counts(&all), (2, 1, 1, 1));
        assert!(!all.tally(Some(5)).is_over());
        assert!(all.tally(Some(2)).is_over());
        assert!(!all.tally(None).is_over());
        assert_eq!(
            all.tally(None).to_string(),
            "0 queued, 1 running, 1 done, 1 failed (still being submitted)"
        );
    }

    #[test]
    fn a_resubmitted_job_waits_until_its_own_generation_fails() {
        let again = state(&[], &[], &[("a", 0)], &[("a", 1)]);
        assert_eq!((counts(&again), again.failure("a")), ((5, 0, 0, 0), None));
        // A late failure of the first submission changes nothing.
        assert_eq!(again.next_generation("a"), 1);
        let failed = state(&[], &[], &[("a", 0), ("a", 1)], &[("a", 1)]);
        assert_eq!((counts(&failed), failed.failure("a")), ((4, 0, 0, 1), Some(1)));
        assert_eq!((failed.next_generation("a"), failed.next_generation("b")), (2, 0));
        let done = state(&[], &["a"], &[("a", 1)], &[("a", 1)]);
        assert_eq!(counts(&done), (4, 0, 1, 0));
    }
}
