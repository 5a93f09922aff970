//! What one worker counts of a batch, so that nobody has to list the records of a million jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of one worker process for one batch, since its start. The worker replaces its record every few
/// seconds; the batch's counts are the sums over all workers.
///
/// A job counts where its outcome was recorded first, so none counts twice where the store honours
/// conditional writes. What a worker that was killed had not written yet is missing from its record, not
/// from the records of the jobs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerTally {
    pub version: u32,
    pub worker: String,
    /// Time of this record in RFC 3339.
    pub at: String,
    /// Jobs that run now.
    pub running: u64,
    pub done: u64,
    /// Those of `done` whose transcript existed.
    pub up_to_date: u64,
    /// Jobs that were given up, by the code of the failure.
    pub failed: BTreeMap<String, u64>,
    /// Failures that count no more, because a command submitted their jobs again.
    #[serde(default)]
    pub resubmitted: u64,
    /// Retries so far.
    pub retried: u64,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    /// The latest reason why a job of the batch waits for another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_setback: Option<Setback>,
}

/// Why a job waits for another try.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setback {
    /// Time in RFC 3339.
    pub at: String,
    /// Time of the next try in RFC 3339, or later if the workers are busy.
    pub next_try_at: String,
    /// Code of the failure.
    pub code: String,
    /// URI of the recording.
    pub source: String,
    pub message: String,
}

impl Setback {
    /// A longer message is cut: each worker rewrites it every few seconds.
    const MAX_MESSAGE: usize = 500;

    /// Describes a failure, of which the job will be tried again.
    pub fn new(failure: &job::Failure, at: String, next_try_at: String) -> Self {
        let cut = |text: &str| text.chars().take(Self::MAX_MESSAGE).collect();
        Self {
            at,
            next_try_at,
            code: failure.code.as_str().to_owned(),
            source: failure.source.clone(),
            message: cut(&failure.message),
        }
    }
}

impl WorkerTally {
    /// Adds the counts of another worker.
    pub fn add(&mut self, other: &Self) {
        // Whoever can write to the store may have written any number.
        let sum = |to: &mut u64, count: u64| *to = to.saturating_add(count);
        sum(&mut self.running, other.running);
        sum(&mut self.done, other.done);
        sum(&mut self.up_to_date, other.up_to_date);
        for (code, count) in &other.failed {
            sum(self.failed.entry(code.clone()).or_default(), *count);
        }
        sum(&mut self.resubmitted, other.resubmitted);
        sum(&mut self.retried, other.retried);
        self.audio_seconds += other.audio_seconds;
        self.cpu_seconds += other.cpu_seconds;
        // Times in RFC 3339 and UTC are in order as texts.
        if self.last_setback < other.last_setback {
            self.last_setback.clone_from(&other.last_setback);
        }
    }

    /// Returns the number of jobs whose last submission failed.
    pub fn failures(&self) -> u64 {
        self.failed
            .values()
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
            .saturating_sub(self.resubmitted)
    }
}
