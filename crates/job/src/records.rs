use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BatchId, Failure, strict::Object};

/// Names of a batch's records, which lie beside its transcripts in the store so that no database is
/// needed: `<output>/.scriptorium/<batch>/{batch.json, running/<job>, done/<job>, failed/<job>.json}`.
///
/// They are keys if the prefix is a key, URIs if it is a URI, as in a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    prefix: String,
}

/// Bytes that the longest name of a record adds to the prefix: `/failed/<job>.json`.
pub(crate) const LONGEST_NAME: usize = "/failed/.json".len() + 32;

impl Records {
    /// Under the prefix `output` of the batch's transcripts.
    pub fn under(output: &str, batch: &BatchId) -> Self {
        let slash = if output.is_empty() || output.ends_with('/') { "" } else { "/" };
        Self { prefix: format!("{output}{slash}.scriptorium/{batch}") }
    }

    /// As found in [`crate::Job::records`].
    pub fn at(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The [`crate::Batch`].
    pub fn batch(&self) -> String {
        format!("{}/batch.json", self.prefix)
    }

    /// The job's [`Running`].
    pub fn running(&self, job: &str) -> String {
        format!("{}{job}", self.all_running())
    }

    /// The job's [`Done`].
    pub fn done(&self, job: &str) -> String {
        format!("{}{job}", self.all_done())
    }

    /// The job's [`Failed`].
    pub fn failed(&self, job: &str) -> String {
        format!("{}{job}.json", self.all_failed())
    }

    /// Prefix of all [`Records::running`].
    pub fn all_running(&self) -> String {
        format!("{}/running/", self.prefix)
    }

    /// Prefix of all [`Records::done`].
    pub fn all_done(&self) -> String {
        format!("{}/done/", self.prefix)
    }

    /// Prefix of all [`Records::failed`].
    pub fn all_failed(&self) -> String {
        format!("{}/failed/", self.prefix)
    }
}

/// A worker has leased the job. A worker that dies leaves it behind; the job's next lease replaces
/// it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    pub source: String,
    pub worker: String,
    /// RFC 3339.
    pub started_at: String,
}

/// The transcript stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub source: String,
    /// URI of the transcript JSON.
    pub transcript: String,
    /// `true` if it stood already, with the same fingerprint.
    pub up_to_date: bool,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    pub worker: String,
    /// RFC 3339.
    pub finished_at: String,
}

/// The job was given up: it is in the dead-letter queue. Also written beside where the transcript
/// would be, as `<output>.error.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub job: String,
    pub batch: BatchId,
    #[serde(flatten)]
    pub failure: Failure,
    pub remedy: String,
    /// Attempts made, the last one included.
    pub attempts: u32,
    pub worker: String,
    /// RFC 3339.
    pub failed_at: String,
}

/// Why bytes are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record is not valid: {0}")]
pub struct InvalidRecord(pub(crate) String);

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidRecord> {
    serde_json::from_slice::<Object<T>>(bytes)
        .map(|Object(record)| record)
        .map_err(|error| InvalidRecord(error.to_string()))
}

pub(crate) fn write<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(record).expect("a record holds nothing JSON lacks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lie_under_the_output() {
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
        assert_eq!(records.failed(&"j".repeat(32)).len(), "p".len() + LONGEST_NAME);
    }
}
