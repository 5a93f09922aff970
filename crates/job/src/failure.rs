use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a job did not become a transcript: for the dead-letter queue, the error record, the logs and
/// the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub code: FailureCode,
    /// The recording, as given.
    pub source: String,
    /// A sentence that names the cause.
    pub message: String,
}

/// What the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Worth another try later.
    Transient,
    /// Will not get better by itself: dead letter.
    Permanent,
    /// Shutdown: back to the queue, not counted.
    Interrupted,
}

/// The documented error codes (docs/jobs.md lists cause and remedy of each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    JobInvalid,
    SourceMissing,
    SourceDenied,
    SourceChanged,
    SourceUnavailable,
    SourceTooLarge,
    AudioEmpty,
    AudioUnrecognized,
    AudioNoTrack,
    AudioUnsupported,
    AudioCorrupt,
    AudioTruncated,
    AudioTooLong,
    ModelUnavailable,
    OutputDenied,
    OutputUnavailable,
    OutputFull,
    Interrupted,
    Internal,
}

impl FailureCode {
    pub fn kind(self) -> FailureKind {
        unimplemented!()
    }

    /// What a person can do about it, one sentence.
    pub fn remedy(self) -> &'static str {
        unimplemented!()
    }

    /// The snake_case word.
    pub fn as_str(self) -> &'static str {
        unimplemented!()
    }
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
