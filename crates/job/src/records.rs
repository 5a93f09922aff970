use serde::{Serialize, de::DeserializeOwned};

use crate::{BatchId, strict::Object};

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

    /// A mark without content: a worker has the job.
    pub fn running(&self, job: &str) -> String {
        format!("{}/running/{job}", self.prefix)
    }

    /// A mark without content: the transcript is written.
    pub fn done(&self, job: &str) -> String {
        format!("{}/done/{job}", self.prefix)
    }

    /// The [`crate::Failure`] of a job that was given up.
    pub fn failed(&self, job: &str) -> String {
        format!("{}/failed/{job}.json", self.prefix)
    }
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
