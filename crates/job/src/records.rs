//! Records of a batch: their contents. The crate `ledger` names, writes and reads them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BatchId, Failure, strict_json::Object};

/// Version of the records that this program writes. It reads all versions from 1.
pub const RECORDS_VERSION: u32 = 2;

/// Limit for the bytes that the name of a record adds to the prefix:
/// `/checkpoint/<job>.<writer>-<sequence>.jsonl`.
pub(crate) const MAX_NAME_BYTES: usize = "/checkpoint/.-4294967295.jsonl".len() + 32 + 32;

/// Returns the prefix of the records of a batch whose transcripts have the prefix `output`, for
/// [`crate::Job::records`]. The records are stored next to the transcripts, so no database is
/// needed.
pub fn records_prefix(output: &str, batch: &BatchId) -> String {
    prefix_of(output, batch.as_str())
}

pub(crate) fn prefix_of(output: &str, batch: &str) -> String {
    let slash = if output.is_empty() || output.ends_with('/') { "" } else { "/" };
    format!("{output}{slash}.scriptorium/{batch}")
}

/// Record of a job that a worker runs. It is written before the job runs and deleted when its lease
/// is settled, so a worker that dies leaves it behind: that is how the next one knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    #[serde(default = "first_version")]
    pub version: u32,
    pub source: String,
    pub worker: String,
    /// Time in RFC 3339.
    pub started_at: String,
    /// Whether the worker runs no other job meanwhile.
    #[serde(default)]
    pub alone: bool,
    /// Number of workers that died before while they ran this job alone.
    #[serde(default)]
    pub crashes: u32,
    /// Incremented by the worker while the job runs for longer than the queue's lease time.
    #[serde(default)]
    pub beat: u64,
    /// Set when the run ended while its message was parked: the attempts spent, from which the next
    /// lease of the job continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_back: Option<u32>,
}

/// Record of a job whose transcript is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    #[serde(default = "first_version")]
    pub version: u32,
    /// The id that the message gave the job, if it is not the job's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    pub source: String,
    /// URI of the transcript JSON.
    pub transcript: String,
    /// Whether the transcript existed already, with the same fingerprint.
    pub up_to_date: bool,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    pub worker: String,
    /// Time in RFC 3339.
    pub finished_at: String,
}

/// Record of a job that was given up and is in the dead-letter queue. It is also written as
/// `<output>.error.json`, next to the missing transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    #[serde(default = "first_version")]
    pub version: u32,
    /// The id that the message gave the job, else its key.
    pub job: String,
    /// Absent if the job has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Number of earlier submissions of the job.
    #[serde(default)]
    pub generation: u32,
    #[serde(flatten)]
    pub failure: Failure,
    pub remedy: String,
    /// Number of attempts, including the last.
    pub attempts: u32,
    pub worker: String,
    /// Time in RFC 3339.
    pub failed_at: String,
}

/// What a batch has come to when it is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchEnd {
    pub jobs: u64,
    pub done: u64,
    pub failed: u64,
    /// Jobs that were not run because the batch was cancelled.
    pub cancelled: u64,
    /// Those of `done` whose transcript existed.
    pub up_to_date: u64,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    /// Failures by code, those of earlier submissions of a job included.
    pub failed_by_code: BTreeMap<String, u64>,
}

/// Record of who was told that a batch is over, on behalf of one submission. It is written when the batch is
/// found to be over, before anybody is told, so that all are told the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    pub version: u32,
    pub submission: String,
    /// When the batch was found to be over, in RFC 3339; absent if it was not within the time that it is
    /// watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<BatchEnd>,
    /// When the event was announced, in RFC 3339; absent if it was not, or events are off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookRecord>,
    /// Whether nobody is left to be told.
    pub complete: bool,
}

/// How far a webhook has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// Without its query.
    pub url: String,
    pub state: Delivery,
    pub attempts: u32,
    /// Time of the last attempt in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<String>,
    /// What the server answered, or why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
    /// Earliest time of the next attempt in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
}

/// Whether a webhook has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It is sent, or sent again.
    Pending,
    Delivered,
    /// It is not sent again.
    GivenUp,
}

/// Version of records without a field for it.
fn first_version() -> u32 {
    1
}

/// Reason why bytes are not a valid record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record is not valid: {0}")]
pub struct InvalidRecord(pub(crate) String);

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidRecord> {
    serde_json::from_slice::<Object<T>>(bytes)
        .map(|Object(record)| record)
        .map_err(|error| InvalidRecord(error.to_string()))
}

pub(crate) fn write<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(record).expect("every record can be represented in JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_prefix_of_the_output() {
        let batch = BatchId::generate();
        for (output, prefix) in [
            ("", ".scriptorium"),
            ("out", "out/.scriptorium"),
            ("out/", "out/.scriptorium"),
            ("/", "/.scriptorium"),
            ("s3://calls", "s3://calls/.scriptorium"),
            ("s3://calls/a b/../c", "s3://calls/a b/../c/.scriptorium"),
            ("file:///", "file:///.scriptorium"),
        ] {
            assert_eq!(records_prefix(output, &batch), format!("{prefix}/{batch}"));
        }
    }

    #[test]
    fn records_of_the_first_version_are_read() -> Result<(), serde_json::Error> {
        let running = r#"{"source": "a", "worker": "w", "started_at": "t"}"#;
        let running: Running = serde_json::from_str(running)?;
        assert_eq!((running.version, running.alone, running.beat), (1, false, 0));
        let done = r#"{"source": "a", "transcript": "b", "up_to_date": false,
            "audio_seconds": 1, "cpu_seconds": 1, "worker": "w", "finished_at": "t"}"#;
        assert_eq!(serde_json::from_str::<Done>(done)?.version, 1);
        let failed = r#"{"job": "0", "batch": "019ab5c2-7c00-7b3e-9d51-3f1c2a4b5d6e",
            "code": "internal", "source": "a", "message": "m", "remedy": "r", "attempts": 1,
            "worker": "w", "failed_at": "t"}"#;
        let failed: Failed = serde_json::from_str(failed)?;
        assert_eq!((failed.version, failed.generation), (1, 0));
        Ok(())
    }
}
