//! What happened in a run: counts, deaths, and what should not have happened.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Filled by all parts of the test.
#[derive(Default)]
pub(super) struct Report {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    deaths_alone: Mutex<BTreeMap<String, u64>>,
    lost: AtomicU64,
    violations: Mutex<Vec<String>>,
    failed: AtomicBool,
}

impl Report {
    pub(super) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// Notes that some workers have lost their leases, and that these jobs, which ran alone, may have lost
    /// their worker. Each counts once.
    pub(super) fn leases_lost(&self, workers: usize, jobs: impl Iterator<Item = String>) {
        self.lost.fetch_add(workers as u64, Ordering::Relaxed);
        let jobs: std::collections::BTreeSet<_> = jobs.collect();
        let mut deaths = self.deaths_alone.lock().unwrap();
        for job in jobs {
            *deaths.entry(job).or_default() += 1;
        }
    }

    /// Returns how often a worker has lost its leases.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns how many workers at most a job has lost while it ran alone.
    pub(super) fn deaths_of(&self, job: &str) -> u64 {
        self.deaths_alone.lock().unwrap().get(job).copied().unwrap_or(0)
    }

    /// Notes something that should not have happened.
    pub(super) fn violation(&self, what: String) {
        eprintln!("chaos: VIOLATION: {what}");
        self.failed.store(true, Ordering::Relaxed);
        self.violations.lock().unwrap().push(what);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }
}
