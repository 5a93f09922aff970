//! The records of a batch, as JSON objects in the store (where they lie: [`job::Records`]).

use job::{BatchId, Failure, Job};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A worker has leased the job. Left behind by a worker that died; the job's next lease replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningRecord {
    pub source: String,
    pub worker: String,
    pub started_at: String,
}

/// The transcript stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneRecord {
    pub source: String,
    /// URI of the transcript JSON.
    pub transcript: String,
    /// `true` if it stood already, with the same fingerprint.
    pub up_to_date: bool,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    pub worker: String,
    pub finished_at: String,
}

/// The job is in the dead-letter queue. Also written beside where the transcript would be, as
/// `<output>.error.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedRecord {
    pub job: String,
    pub batch: BatchId,
    #[serde(flatten)]
    pub failure: Failure,
    pub remedy: String,
    /// Attempts made, this one included.
    pub attempts: u32,
    pub worker: String,
    pub failed_at: String,
}

impl FailedRecord {
    pub(crate) fn new(job: &Job, failure: Failure, attempts: u32, worker: &str) -> Self {
        Self {
            job: job.id.clone(),
            batch: job.batch.clone(),
            remedy: failure.code.remedy().to_owned(),
            failure,
            attempts,
            worker: worker.to_owned(),
            failed_at: now(),
        }
    }
}

/// RFC 3339, UTC, to the second.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
