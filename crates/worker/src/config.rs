//! Section `worker` of the configuration.

use serde::{Deserialize, Serialize};

/// How a worker leases and settles jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Name of this worker in records and logs; empty: host name and process id.
    pub name: String,
    /// Prefixes whose stores are probed before the first lease; the worker waits for these stores.
    pub probe: Vec<String>,
    /// Jobs in flight; 0: one more than the cores, so that no core idles while a job fetches.
    pub jobs: u16,
    /// Seconds until a transient failure is retried, by attempt; after the last one, the job is
    /// dead-lettered.
    pub retry_delays: Vec<u64>,
    /// Redeliveries (the worker died with the job) after which the job is dead-lettered.
    pub max_redeliveries: u32,
    /// Seconds that jobs in flight get to finish after SIGTERM, before they go back to the queue.
    pub drain_seconds: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            probe: Vec::new(),
            jobs: 0,
            retry_delays: vec![10, 60, 600, 3600, 3600],
            max_redeliveries: 10,
            drain_seconds: 25,
        }
    }
}

impl WorkerConfig {
    /// Returns the number of jobs in flight for a compute pool of `cores` threads.
    pub(crate) fn in_flight(&self, cores: usize) -> u16 {
        match self.jobs {
            0 => u16::try_from(cores + 1).unwrap_or(u16::MAX),
            jobs => jobs,
        }
    }
}
