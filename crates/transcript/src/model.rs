use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the transcript JSON. Grows when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// What was said in one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Always [`SCHEMA_VERSION`].
    pub version: u32,
    pub source: Source,
    pub pipeline: Pipeline,
    /// In order of start; segments of different channels may overlap.
    pub segments: Vec<Segment>,
    pub processing: Processing,
}

/// The recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub uri: String,
    /// Bytes.
    pub size: u64,
    /// What changes when the object changes: the store's ETag.
    pub etag: String,
    /// Seconds.
    pub duration: f64,
    pub channels: u32,
    /// Hz, as recorded.
    pub sample_rate: u32,
    pub container: String,
    pub codec: String,
    /// What was wrong with the recording and did not stop the transcription.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What made the text of the recording: same fingerprint and same ETag, same transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// `scriptorium` and its version.
    pub version: String,
    /// Name of the recognizer's model, e.g. `whisper-tiny.en`.
    pub recognizer: String,
    /// Name of the voice activity model, e.g. `fsmn-vad`.
    pub vad: String,
    /// `f32`, `int8`, ...
    pub precision: String,
    /// Digest over models, precision, options and the revision of the pipeline's code.
    pub fingerprint: String,
}

/// A stretch of speech by one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Seconds from the start of the recording.
    pub start: f64,
    pub end: f64,
    /// 0-based; absent when the channels were mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
    /// ISO 639-1 or -3 code, e.g. `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub text: String,
    /// From 0 to 1: the geometric mean of the tokens' probabilities.
    pub confidence: f32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    pub start: f64,
    pub end: f64,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

/// What the transcription took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Processing {
    /// RFC 3339, when the transcript was made.
    pub finished_at: String,
    /// Elapsed seconds, from opening the recording to the last segment.
    pub wall_seconds: f64,
    /// Seconds of one core, over all stages.
    pub cpu_seconds: f64,
    /// Seconds of audio per second of one core: the headline figure.
    pub audio_seconds_per_core_second: f64,
    /// Seconds of one core per stage, in order of the pipeline: decode, vad, recognize.
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    pub seconds: f64,
}
