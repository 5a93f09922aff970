use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// Version of the transcript JSON. Grows when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// What was said in one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
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
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
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

/// What made the text of the recording. Same fingerprint: same models, options and code. Words that
/// are nearly as likely may still differ between processors with and without bf16 instructions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// `scriptorium` and its version.
    pub version: String,
    /// Name of the recognizer's model, e.g. `whisper-tiny.en`.
    pub recognizer: String,
    /// Name of the voice activity model, e.g. `fsmn-vad`.
    pub vad: String,
    /// Name of the punctuation model, if one set the marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub punctuation: Option<String>,
    /// Name of the speaker model, if speakers were told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speakers: Option<String>,
    /// `f32`, `int8`, ...
    pub precision: String,
    /// Digest over models, precision, options and the revision of the pipeline's code.
    pub fingerprint: String,
}

/// A stretch of speech by one channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Seconds from the start of the recording.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub start: f64,
    /// Seconds from the start of the recording, not before `start`.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub end: f64,
    /// 0-based; absent when the channels were mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
    /// Who speaks, in order of first appearance: 0-based; absent when speakers were not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<u32>,
    /// ISO 639-1 or -3 code, e.g. `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub text: String,
    /// From 0 to 1: the geometric mean of the tokens' probabilities.
    #[serde(serialize_with = "number::probability")]
    #[schemars(with = "f32", range(min = 0, max = 1))]
    pub confidence: f32,
    /// How the speaker sounds, e.g. `happy`, where the model tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emotion: Option<String>,
    /// What is heard besides speech, e.g. `laughter`, where the model tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// In order; absent when the recognizer gives no times of words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word of a segment, or a character in scripts that do not separate words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Seconds from the start of the recording.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub start: f64,
    /// Seconds from the start of the recording, not before `start`.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub end: f64,
    pub text: String,
    /// From 0 to 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "number::optional_probability"
    )]
    #[schemars(with = "Option<f32>", range(min = 0, max = 1))]
    pub confidence: Option<f32>,
    /// Who speaks, where that differs from the segment's speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<u32>,
}

/// What the transcription took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Processing {
    /// RFC 3339, when the transcript was made.
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: String,
    /// Elapsed seconds, from opening the recording to the last segment.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub wall_seconds: f64,
    /// Seconds of one core, over all stages.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub cpu_seconds: f64,
    /// Seconds of audio per second of one core: the headline figure.
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub audio_seconds_per_core_second: f64,
    /// Seconds of one core per stage, in order of the pipeline: decode, vad, recognize, and
    /// punctuate, speakers where these were done.
    pub stages: Vec<Stage>,
}

/// A stage of the pipeline and the seconds of one core that it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    #[serde(serialize_with = "number::thousandths")]
    #[schemars(with = "f64", range(min = 0))]
    pub seconds: f64,
}

impl Segment {
    /// How renderings for people name who speaks, counted from 1: by channel if the channels were
    /// kept apart, by speaker if speakers were told apart.
    pub(crate) fn voice(&self) -> Option<String> {
        let channel = self.channel.map(|channel| format!("Channel {}", u64::from(channel) + 1));
        let speaker = self.speaker.map(|speaker| format!("Speaker {}", u64::from(speaker) + 1));
        match (channel, speaker) {
            (Some(channel), Some(speaker)) => Some(format!("{channel}, {speaker}")),
            (channel, speaker) => channel.or(speaker),
        }
    }
}
