//! What became of the jobs of earlier submissions, in 16 to 32 bytes for each: a batch may have
//! millions.

use store::Stores;

use crate::{Error, names::Names, records};

/// Which jobs are done, and which generation the next submission of the others has.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Sorted.
    done: Vec<u128>,
    /// Jobs that failed or were submitted again, with their next generation. Sorted by job.
    next: Vec<(u128, u32)>,
    /// Jobs that failed in their last generation, unless they are done. Sorted.
    failed: Vec<u128>,
}

impl Earlier {
    pub(crate) async fn read(stores: &Stores, names: &Names) -> Result<Self, Error> {
        let (mut done, mut next, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        // In the order in which jobs change state, so that no change is missed.
        records::list(stores, &names.all_resubmitted(), |job, generation| {
            next.extend(number_of(job).map(|job| (job, generation)));
        })
        .await?;
        records::list(stores, &names.all_failed(), |job, generation| {
            let job = number_of(job);
            next.extend(job.map(|job| (job, generation.saturating_add(1))));
            failed.extend(job.map(|job| (job, generation)));
        })
        .await?;
        records::list(stores, &names.all_done(), |job, _| done.extend(number_of(job))).await?;
        done.sort_unstable();
        // The last generation of each job comes first.
        next.sort_unstable_by(|a: &(u128, u32), b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        next.dedup_by_key(|(job, _)| *job);
        let mut earlier = Self { done, next, failed: Vec::new() };
        // Not those that were submitted again since.
        failed.retain(|(job, generation)| {
            let current = earlier.generation_after(*job);
            current == generation.saturating_add(1)
        });
        let mut failed: Vec<_> = failed.into_iter().map(|(job, _)| job).collect();
        failed.sort_unstable();
        failed.dedup();
        earlier.failed = failed;
        Ok(earlier)
    }

    pub fn is_done(&self, job: &str) -> bool {
        number_of(job).is_some_and(|job| self.done.binary_search(&job).is_ok())
    }

    /// Returns whether the job is done (`true`) or failed (`false`); `None` if it has not ended.
    pub(crate) fn state(&self, job: &str) -> Option<bool> {
        if self.is_done(job) {
            return Some(true);
        }
        let failed = number_of(job).is_some_and(|job| self.failed.binary_search(&job).is_ok());
        failed.then_some(false)
    }

    /// Returns the ids of all jobs that are done, as numbers.
    pub(crate) fn done(&self) -> impl Iterator<Item = u128> + '_ {
        self.done.iter().copied()
    }

    /// Returns the generation for another submission of the job.
    pub fn next_generation(&self, job: &str) -> u32 {
        number_of(job).map_or(0, |job| self.generation_after(job))
    }

    fn generation_after(&self, job: u128) -> u32 {
        let found = self.next.binary_search_by_key(&job, |(job, _)| *job);
        found.map_or(0, |index| self.next[index].1)
    }
}

/// Returns the id of a job as a number; `None` if it is not the id of a job.
pub(crate) fn number_of(job: &str) -> Option<u128> {
    (job.len() == 32).then(|| u128::from_str_radix(job, 16).ok()).flatten()
}
