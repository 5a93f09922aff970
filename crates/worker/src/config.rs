//! Section `worker` of the configuration.

use serde::{Deserialize, Serialize};

/// How a worker leases and settles jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Name of this worker in records and logs; empty: host name and process id.
    pub name: String,
    /// Prefixes of the recordings that jobs may read: `s3://bucket/prefix/` or a folder. Empty: every
    /// bucket that the worker's account reaches, and no files.
    pub sources: Vec<String>,
    /// Prefixes below which jobs may write transcripts and records; empty: as above.
    pub outputs: Vec<String>,
    /// Prefixes whose stores are probed before the first lease; the worker waits for these stores.
    pub probe: Vec<String>,
    /// Jobs in flight; 0: one more than the cores, so that no core idles while a job fetches.
    pub jobs: u16,
    /// Seconds until a transient failure is retried, by attempt; after the last one, the job is
    /// dead-lettered.
    pub retry_delays: Vec<u64>,
    /// Workers that may die while they run a job and nothing else, before it is dead-lettered.
    pub max_crashes: u32,
    /// Seconds after which a job that makes no progress is given up, and tried again.
    pub stall_seconds: u64,
    /// Seconds that a job may take per second of its audio, after the first `stall_seconds`; else it is
    /// given up, and tried again.
    pub max_seconds_per_audio_second: u64,
    /// Seconds that a finished transcript waits for its store before it is given up, and made again.
    pub write_patience_seconds: u64,
    /// Seconds that jobs in flight get to finish after SIGTERM, before they go back to the queue.
    pub drain_seconds: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            outputs: Vec::new(),
            probe: Vec::new(),
            jobs: 0,
            retry_delays: vec![10, 60, 600, 3600, 3600],
            max_crashes: 3,
            stall_seconds: 1800,
            max_seconds_per_audio_second: 100,
            write_patience_seconds: 900,
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
