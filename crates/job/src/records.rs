//! Records of a batch: their names and contents.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BatchId, Failure, strict_json::Object};

/// Names of a batch's records:
/// `<output>/.scriptorium/<batch>/{batch.json, running/<job>, done/<job>, failed/<job>.json}`. They
/// are stored next to the transcripts, so no database is needed.
///
/// The names are keys if the prefix is a key, and URIs if it is a URI, as in a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    prefix: String,
}

/// Limit for the bytes that the name of a record adds to the prefix: `/failed/<job>.json`.
pub(crate) const MAX_NAME_BYTES: usize = "/failed/.json".len() + 32;

impl Records {
    /// Returns the names for a batch whose transcripts have the prefix `output`.
    pub fn under(output: &str, batch: &BatchId) -> Self {
        let slash = if output.is_empty() || output.ends_with('/') { "" } else { "/" };
        Self { prefix: format!("{output}{slash}.scriptorium/{batch}") }
    }

    /// Returns the names for the prefix in [`crate::Job::records`].
    pub fn at(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Returns the prefix of all records.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the name of the [`crate::Batch`].
    pub fn batch(&self) -> String {
        format!("{}/batch.json", self.prefix)
    }

    /// Returns the name of a job's [`Running`].
    pub fn running(&self, job: &str) -> String {
        format!("{}{job}", self.all_running())
    }

    /// Returns the name of a job's [`Done`].
    pub fn done(&self, job: &str) -> String {
        format!("{}{job}", self.all_done())
    }

    /// Returns the name of a job's [`Failed`].
    pub fn failed(&self, job: &str) -> String {
        format!("{}{job}.json", self.all_failed())
    }

    /// Returns the prefix of all [`Records::running`].
    pub fn all_running(&self) -> String {
        format!("{}/running/", self.prefix)
    }

    /// Returns the prefix of all [`Records::done`].
    pub fn all_done(&self) -> String {
        format!("{}/done/", self.prefix)
    }

    /// Returns the prefix of all [`Records::failed`].
    pub fn all_failed(&self) -> String {
        format!("{}/failed/", self.prefix)
    }
}

/// Record of a job that a worker has leased. A worker that dies leaves it behind, and the job's
/// next lease replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    pub source: String,
    pub worker: String,
    /// Time in RFC 3339.
    pub started_at: String,
}

/// Record of a job whose transcript is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub job: String,
    pub batch: BatchId,
    #[serde(flatten)]
    pub failure: Failure,
    pub remedy: String,
    /// Number of attempts, including the last.
    pub attempts: u32,
    pub worker: String,
    /// Time in RFC 3339.
    pub failed_at: String,
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
            assert_eq!(Records::under(output, &batch).prefix(), format!("{prefix}/{batch}"));
        }
        let records = Records::at("p");
        assert_eq!(records.batch(), "p/batch.json");
        assert_eq!(records.running("j"), "p/running/j");
        assert_eq!(records.done("j"), "p/done/j");
        assert_eq!(records.failed("j"), "p/failed/j.json");
        assert_eq!(records.failed(&"j".repeat(32)).len(), "p".len() + MAX_NAME_BYTES);
    }
}
