//! What the names of a batch's records say about its jobs, in 16 to 24 bytes for each record: a batch may
//! have millions.

use crate::Tally;

/// Which jobs run, are done, have failed, and were submitted again.
#[derive(Debug, Clone, Default)]
pub struct State {
    // All lists are sorted, and have each job once.
    running: Vec<u128>,
    done: Vec<u128>,
    /// The last generation in which each job failed.
    failed: Vec<(u128, u32)>,
    /// The last generation in which each job was submitted, if not the first.
    resubmitted: Vec<(u128, u32)>,
}

impl State {
    pub(crate) fn add_running(&mut self, job: &str) {
        self.running.extend(number_of(job));
    }

    pub(crate) fn add_done(&mut self, job: &str) {
        self.done.extend(number_of(job));
    }

    pub(crate) fn add_failed(&mut self, job: &str, generation: u32) {
        self.failed.extend(number_of(job).map(|job| (job, generation)));
    }

    pub(crate) fn add_resubmitted(&mut self, job: &str, generation: u32) {
        self.resubmitted.extend(number_of(job).map(|job| (job, generation)));
    }

    /// Sorts what was added, before anything is asked.
    pub(crate) fn sort(&mut self) {
        for jobs in [&mut self.running, &mut self.done] {
            jobs.sort_unstable();
            jobs.dedup();
        }
        for generations in [&mut self.failed, &mut self.resubmitted] {
            // The last generation of each job comes first.
            generations.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            generations.dedup_by_key(|(job, _)| *job);
        }
    }

    pub fn is_done(&self, job: &str) -> bool {
        number_of(job).is_some_and(|job| self.has_done(job))
    }

    /// Returns the generation in which the job failed, unless it is done or was submitted again.
    pub fn failure(&self, job: &str) -> Option<u32> {
        self.failure_of(number_of(job)?)
    }

    /// Returns the generation for another submission of the job.
    pub fn next_generation(&self, job: &str) -> u32 {
        let Some(job) = number_of(job) else { return 0 };
        let after_failure = last(&self.failed, job).map_or(0, |last| last.saturating_add(1));
        after_failure.max(last(&self.resubmitted, job).unwrap_or(0))
    }

    /// Returns the jobs that failed, with the generation.
    pub fn failures(&self) -> impl Iterator<Item = (String, u32)> + '_ {
        let failed = self.failed.iter();
        failed.filter_map(|(job, _)| Some((id_of(*job), self.failure_of(*job)?)))
    }

    /// Returns the jobs that are done, as numbers.
    pub(crate) fn done(&self) -> impl Iterator<Item = u128> + '_ {
        self.done.iter().copied()
    }

    /// Counts every job once: as done rather than failed, as failed rather than running.
    pub fn tally(&self, jobs: Option<u64>) -> Tally {
        let done = self.done.len() as u64;
        let has_failed = |job| self.failure_of(job).is_some();
        let failed = self.failed.iter().filter(|(job, _)| has_failed(*job)).count() as u64;
        let runs = |job: &&u128| !self.has_done(**job) && !has_failed(**job);
        let running = self.running.iter().filter(runs).count() as u64;
        let queued = jobs.unwrap_or(0).saturating_sub(done + failed + running);
        Tally { jobs, queued, running, done, failed }
    }

    fn has_done(&self, job: u128) -> bool {
        self.done.binary_search(&job).is_ok()
    }

    fn failure_of(&self, job: u128) -> Option<u32> {
        let generation = last(&self.failed, job)?;
        let current = last(&self.resubmitted, job).unwrap_or(0);
        (!self.has_done(job) && generation >= current).then_some(generation)
    }
}

/// Returns the generation of a job in a sorted list.
fn last(generations: &[(u128, u32)], job: u128) -> Option<u32> {
    let found = generations.binary_search_by_key(&job, |(job, _)| *job);
    found.ok().map(|index| generations[index].1)
}

/// Returns the id of a job as a number; `None` if it is not the id of a job.
pub(crate) fn number_of(job: &str) -> Option<u128> {
    (job.len() == 32).then(|| u128::from_str_radix(job, 16).ok()).flatten()
}

/// Returns the id of a job whose number this is.
pub(crate) fn id_of(number: u128) -> String {
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the id of a job with a name of one letter.
    fn id(name: &str) -> String {
        format!("{:032x}", name.as_bytes()[0])
    }

    fn state(
        running: &[&str],
        done: &[&str],
        failed: &[(&str, u32)],
        resubmitted: &[(&str, u32)],
    ) -> State {
        let mut state = State::default();
        running.iter().for_each(|name| state.add_running(&id(name)));
        done.iter().for_each(|name| state.add_done(&id(name)));
        failed.iter().for_each(|(name, generation)| state.add_failed(&id(name), *generation));
        for (name, generation) in resubmitted {
            state.add_resubmitted(&id(name), *generation);
        }
        state.sort();
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
        assert_eq!((counts(&again), again.failure(&id("a"))), ((5, 0, 0, 0), None));
        // A late failure of the first submission changes nothing.
        assert_eq!(again.next_generation(&id("a")), 1);
        let failed = state(&[], &[], &[("a", 0), ("a", 1)], &[("a", 1)]);
        assert_eq!((counts(&failed), failed.failure(&id("a"))), ((4, 0, 0, 1), Some(1)));
        assert_eq!((failed.next_generation(&id("a")), failed.next_generation(&id("b"))), (2, 0));
        let done = state(&[], &["a"], &[("a", 1)], &[("a", 1)]);
        assert_eq!(counts(&done), (4, 0, 1, 0));
    }
}
