use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names a batch: a time-ordered UUID (version 7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    pub fn generate() -> Self {
        unimplemented!()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BatchId {
    type Err = String;

    fn from_str(_text: &str) -> Result<Self, String> {
        unimplemented!()
    }
}

/// The record of a submission, kept in the store as `batch.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub version: u32,
    pub id: BatchId,
    /// What was asked for: paths or prefixes.
    pub sources: Vec<String>,
    /// Where transcripts go.
    pub output: String,
    /// Number of jobs; absent while they are still being submitted.
    pub jobs: Option<u64>,
    /// RFC 3339.
    pub submitted_at: String,
}

/// Keys of a batch's records, which lie beside its transcripts in the store so that no database is
/// needed: `<output>/.scriptorium/<batch>/{batch.json, running/<job>, done/<job>, failed/<job>.json}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    prefix: String,
}

impl Records {
    /// Under the key (or path) prefix `output` of the batch.
    pub fn under(_output: &str, _batch: &BatchId) -> Self {
        unimplemented!()
    }

    /// As found in [`crate::Job::records`].
    pub fn at(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn batch(&self) -> String {
        unimplemented!()
    }

    pub fn running(&self, _job: &str) -> String {
        unimplemented!()
    }

    pub fn done(&self, _job: &str) -> String {
        unimplemented!()
    }

    pub fn failed(&self, _job: &str) -> String {
        unimplemented!()
    }
}
