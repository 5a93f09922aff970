use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BatchId;

/// Version of the job message.
pub const SCHEMA_VERSION: u32 = 1;
/// A job message larger than this is refused unread.
pub const MAX_JOB_BYTES: usize = 64 * 1024;

/// One recording to transcribe: the message in the job queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Always [`SCHEMA_VERSION`].
    pub version: u32,
    /// Same batch, source and output, same id: submitting twice makes no second job.
    pub id: String,
    pub batch: BatchId,
    /// The recording: `s3://bucket/key` or `file:///path`.
    pub source: String,
    /// Where the transcript goes, without the extension that each format adds:
    /// `s3://bucket/prefix/a/b.wav` becomes `s3://bucket/prefix/a/b.wav.json`.
    pub output: String,
    /// Prefix under which the batch keeps its records, see [`crate::Records`].
    pub records: String,
    #[serde(default)]
    pub options: Options,
}

/// How to transcribe; what is absent is the worker's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Renderings to write beside the JSON, which is always written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub formats: BTreeSet<OutputFormat>,
    /// Name of the model, which the worker must have loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Language code; absent: detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    Json,
    Srt,
    Vtt,
    Txt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelMode {
    Mix,
    Split,
}

/// Why bytes are not a job that this version understands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJob {
    #[error("job message of {actual} bytes, the limit is {MAX_JOB_BYTES}")]
    TooLarge { actual: usize },
    #[error("job message is not valid: {0}")]
    Malformed(String),
    #[error("job message has version {0}, this worker understands {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

impl Job {
    /// Makes a job whose id follows from batch, source and output.
    pub fn new(
        _batch: BatchId,
        _source: String,
        _output: String,
        _records: String,
        _options: Options,
    ) -> Self {
        unimplemented!()
    }

    /// Reads and validates a message; the version is looked at before anything else.
    pub fn from_slice(_bytes: &[u8]) -> Result<Self, InvalidJob> {
        unimplemented!()
    }

    pub fn to_vec(&self) -> Vec<u8> {
        unimplemented!()
    }
}
