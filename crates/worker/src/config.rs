//! Section `worker` of the configuration.

use std::{num::NonZeroU32, time::Duration};

use queue::Lane;
use serde::{Deserialize, Serialize};

use crate::{Announcements, memory};

/// How a worker leases and settles jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Name of this worker in records and logs; empty: host name and process id.
    pub name: String,
    /// Prefixes of the recordings that jobs may read: `s3://bucket/prefix/`, a folder, or a URL
    /// (`https://media.example.org/`, `https://*.example.org/`). Empty: every bucket that the worker's account
    /// reaches, no files and no URLs.
    pub sources: Vec<String>,
    /// Prefixes below which jobs may write transcripts and records; empty: as above.
    pub outputs: Vec<String>,
    /// Prefixes whose stores are probed before the first lease; the worker waits for these stores.
    pub probe: Vec<String>,
    /// Lanes that this worker serves.
    pub lanes: Vec<Lane>,
    /// Shares of the cores that the lanes get while all have work; what one does not use, the others
    /// get.
    pub shares: LaneShares,
    /// Jobs in flight of each lane; 0: one more than the cores, so that no core idles while a job
    /// fetches.
    pub jobs: u16,
    /// Recordings of more than this many seconds are long. They wait in queues of their own, so that
    /// others do not wait behind them.
    pub long_seconds: u64,
    /// Long recordings in flight of each lane; 0: as many as there are cores.
    pub long_jobs: u16,
    /// Bytes of memory for this process; 0: the limit of its control group, or else the memory of the
    /// machine.
    pub memory_bytes: u64,
    /// Part of the memory, in percent, above which no more jobs are leased and no more recordings are
    /// admitted.
    pub memory_high_percent: u8,
    /// Part of the memory, in percent, above which the worker drains and exits with code 3, to be
    /// started anew; 100 or more: never.
    pub memory_max_percent: u8,
    /// Whether the ends of jobs are announced on the exchange `<prefix>.events`: `off`, `sent`, or
    /// `confirmed`, before the job is acknowledged.
    pub events: Announcements,
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
    /// Seconds between two checkpoints of a job: what it has computed is written beside its records, for
    /// whoever gets the job next if this worker dies. Jobs that take less time write none; 0: no
    /// checkpoints.
    pub checkpoint_seconds: u64,
    /// Seconds that jobs in flight get to finish after SIGTERM, before they go back to the queue.
    pub drain_seconds: u64,
    /// Seconds without a job, while jobs can be leased, after which the worker drains and exits with code
    /// 0, for schedulers of jobs that run to their end; 0: never.
    pub idle_seconds: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            outputs: Vec::new(),
            probe: Vec::new(),
            lanes: Lane::ALL.to_vec(),
            shares: LaneShares::default(),
            jobs: 0,
            long_seconds: 1800,
            long_jobs: 0,
            memory_bytes: 0,
            memory_high_percent: 80,
            memory_max_percent: 95,
            events: Announcements::Off,
            retry_delays: vec![10, 60, 600, 3600, 3600],
            max_crashes: 3,
            stall_seconds: 1800,
            max_seconds_per_audio_second: 100,
            write_patience_seconds: 900,
            checkpoint_seconds: 30,
            drain_seconds: 25,
            idle_seconds: 0,
        }
    }
}

impl WorkerConfig {
    /// Returns a part of the memory of this process; `None` if it is not known.
    pub(crate) fn part_of_memory(&self, percent: u8) -> Option<u64> {
        let limit = match self.memory_bytes {
            0 => memory::limit()?,
            bytes => bytes,
        };
        Some((u128::from(limit) * u128::from(percent) / 100) as u64)
    }

    /// Returns the time between two checkpoints; `None`: there are none.
    pub(crate) fn checkpoint_interval(&self) -> Option<Duration> {
        // So that a time can be computed, however large the number is.
        const YEAR: u64 = 365 * 24 * 3600;
        let seconds = self.checkpoint_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.min(YEAR)))
    }

    /// Returns the time without a job after which the worker ends; `None`: it does not.
    pub(crate) fn max_idle(&self) -> Option<Duration> {
        (self.idle_seconds > 0).then(|| Duration::from_secs(self.idle_seconds))
    }

    /// Returns the number of long recordings in flight of a lane, for a compute pool of `cores` threads.
    pub(crate) fn long_in_flight(&self, cores: usize) -> u16 {
        match self.long_jobs {
            0 => u16::try_from(cores).unwrap_or(u16::MAX),
            jobs => jobs,
        }
    }

    /// Returns the number of jobs in flight of a lane, for a compute pool of `cores` threads.
    pub(crate) fn in_flight(&self, cores: usize) -> u16 {
        match self.jobs {
            0 => u16::try_from(cores + 1).unwrap_or(u16::MAX),
            jobs => jobs,
        }
    }
}

/// Shares of the cores by lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LaneShares {
    pub urgent: NonZeroU32,
    pub normal: NonZeroU32,
    pub bulk: NonZeroU32,
}

impl Default for LaneShares {
    fn default() -> Self {
        let share = |share| NonZeroU32::new(share).unwrap_or(NonZeroU32::MIN);
        Self { urgent: share(8), normal: share(3), bulk: share(1) }
    }
}

impl LaneShares {
    /// Returns the shares by class of work in the compute pool: urgent, normal, bulk.
    pub fn by_class(&self) -> [f64; 3] {
        [self.urgent, self.normal, self.bulk].map(|share| f64::from(share.get()))
    }
}

/// Returns the class in the compute pool of the work of a lane.
pub(crate) fn class_of(lane: Lane) -> usize {
    match lane {
        Lane::Urgent => 0,
        Lane::Normal => 1,
        Lane::Bulk => 2,
    }
}
