//! The types of a transcript.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// Version of the transcript JSON. Increases when a field changes its meaning or is removed; fields may be
/// added within a version, and readers ignore those that they do not know.
pub const SCHEMA_VERSION: u32 = 2;
/// Limit for the characters of a speaker's label or name.
pub const MAX_SPEAKER_NAME: usize = 100;

/// The transcript of one recording. [`Transcript::new`] makes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub version: u32,
    pub source: Source,
    pub pipeline: Pipeline,
    /// Language in which there is speech for most of the time, as an ISO 639-1 or ISO 639-3 code;
    /// absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The texts of the segments in order, on one line.
    pub text: String,
    /// Speakers of all channels and tracks in order of `id`; absent if speakers were not distinguished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speakers: Vec<Speaker>,
    /// Segments in order of start. Segments of different channels may overlap.
    pub segments: Vec<Segment>,
    /// Who speaks when, in order of start, whether or not there is text. Turns of different speakers may
    /// overlap. Absent if speakers were not distinguished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Turn>,
    pub processing: Processing,
    /// SHA-256, in hexadecimal digits, of each rendering as this program has written or would have written it,
    /// by the name of its format. One with another digest was edited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renderings: BTreeMap<String, String>,
}

/// The recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    pub uri: String,
    /// Size in bytes.
    pub size: u64,
    /// The store's ETag, which changes when the object changes.
    pub etag: String,
    /// Duration in seconds.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub duration: f64,
    pub channels: u32,
    /// Sample rate of the recording in Hz.
    pub sample_rate: u32,
    pub container: String,
    pub codec: String,
    /// Name and version of the program that decoded the recording, if it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
    /// Problems with the recording that did not prevent the transcription.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How the text was produced. Equal fingerprints mean equal models, options and code. Where two words
/// are almost equally probable, processors with and without bf16 instructions may still differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// `scriptorium` and its version.
    pub version: String,
    /// Name of the recognizer's model, e.g. `whisper-tiny.en`.
    pub recognizer: String,
    /// Name of the voice activity model, e.g. `fsmn-vad`.
    pub vad: String,
    /// Name of the punctuation model, if one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub punctuation: Option<String>,
    /// Name of the speaker model, if speakers were distinguished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speakers: Option<String>,
    /// Name of the segmentation model, if speakers were distinguished with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker_segmentation: Option<String>,
    /// Number format of the recognizer's linear layers: `int8`, `bf16` or `f32`.
    pub precision: String,
    /// Digest of the models, the precision, the options and the revision of the pipeline's code.
    pub fingerprint: String,
}

/// One of the people who speak. Speakers of different channels or tracks are different people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speaker {
    /// Number in the recording, counted from 0 in order of the first word; those without words follow in
    /// order of the first turn.
    pub id: u32,
    /// Name that the program gives, e.g. `Speaker 1`.
    #[schemars(length(max = MAX_SPEAKER_NAME))]
    pub label: String,
    /// Name that a person has given, or that of a known voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_SPEAKER_NAME))]
    pub name: Option<String>,
    /// Channel, counted from 0; absent if the channels were mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
    /// Audio track, counted from 1; absent unless all tracks were transcribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u32>,
    /// For how many seconds the speaker speaks.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub seconds: f64,
}

/// A span of speech on one channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    /// Number of the segment, by which others may refer to it; counted from 0 when the transcript is made.
    pub id: u32,
    /// Seconds from the start of the recording.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub start: f64,
    /// Seconds from the start of the recording, not before `start`.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub end: f64,
    /// Audio track, counted from 1; absent unless all tracks were transcribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u32>,
    /// Channel, counted from 0; absent if the channels were mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
    /// `id` of the speaker; absent if speakers were not distinguished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<u32>,
    /// Language as an ISO 639-1 or ISO 639-3 code, e.g. `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub text: String,
    /// Geometric mean of the tokens' probabilities, from 0 to 1.
    #[serde(serialize_with = "number::probability")]
    #[schemars(with = "f32", range(min = 0, max = 1))]
    pub confidence: f32,
    /// Probability from 0 to 1 that the window of the segment has no speech, if the model gives it
    /// (Whisper).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "number::optional_probability"
    )]
    #[schemars(with = "Option<f32>", range(min = 0, max = 1))]
    pub no_speech_probability: Option<f32>,
    /// Emotion of the speaker, e.g. `happy`, if the model recognizes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emotion: Option<String>,
    /// Audio event other than speech, e.g. `laughter`, if the model recognizes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Words in order; absent if the recognizer gives no word times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word of a segment, or a character in scripts that do not separate words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    /// Seconds from the start of the recording.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub start: f64,
    /// Seconds from the start of the recording, not before `start`.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub end: f64,
    pub text: String,
    /// Probability of the word, from 0 to 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "number::optional_probability"
    )]
    #[schemars(with = "Option<f32>", range(min = 0, max = 1))]
    pub confidence: Option<f32>,
    /// `id` of the speaker, if different from the segment's speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<u32>,
    /// `id` of a second person who speaks during the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_speaker: Option<u32>,
}

/// A span in which one person speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// Seconds from the start of the recording.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub start: f64,
    /// Seconds from the start of the recording, not before `start`.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub end: f64,
    /// `id` of the speaker.
    pub speaker: u32,
    /// Audio track, counted from 1; absent unless all tracks were transcribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u32>,
    /// Channel, counted from 0; absent if the channels were mixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
}

/// Time that the transcription took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Processing {
    /// Time at which the transcript was finished, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: String,
    /// Wall time in seconds, from opening the recording to the last segment.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub wall_seconds: f64,
    /// CPU time of all stages in seconds.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub cpu_seconds: f64,
    /// Seconds of audio transcribed per second of CPU time.
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub audio_seconds_per_core_second: f64,
    /// Stages in order of the pipeline: decode, vad, recognize, and punctuate and speakers if they
    /// ran.
    pub stages: Vec<Stage>,
}

/// A stage of the pipeline and its CPU time in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    pub name: String,
    #[serde(serialize_with = "number::three_decimals")]
    #[schemars(with = "f64", range(min = 0))]
    pub seconds: f64,
}
