//! The transcript as JSON: writing, strict reading, and the published schema.

use serde::Deserialize;

use crate::{Processing, SCHEMA_VERSION, Transcript};

/// Why bytes are not a transcript that this version understands. Reading again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTranscript {
    #[error("transcript is not valid: {0}")]
    Malformed(String),
    #[error("transcript has version {0}, this program understands {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

/// The JSON Schema (draft 2020-12) of a transcript, as published in
/// `docs/schemas/transcript.v1.schema.json`.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Transcript).to_value()
}

/// Just the version: the rest is not looked at before it is known.
#[derive(Deserialize)]
struct Versioned {
    version: Option<serde_json::Value>,
}

impl Transcript {
    /// Indented, ends with a line feed. Times to the millisecond, probabilities to four digits.
    pub fn to_json_pretty(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a transcript holds nothing JSON lacks");
        json.push('\n');
        json
    }

    /// The same on one line, with no line feed.
    pub fn to_json_compact(&self) -> String {
        serde_json::to_string(self).expect("a transcript holds nothing JSON lacks")
    }

    /// Reads a transcript; the version is looked at before anything else, unknown fields, times
    /// that run backwards and impossible probabilities are errors.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidTranscript> {
        let malformed = |error: serde_json::Error| InvalidTranscript::Malformed(error.to_string());
        let json = std::str::from_utf8(bytes)
            .map_err(|error| InvalidTranscript::Malformed(format!("not UTF-8: {error}")))?;
        // serde would take an array for a struct.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(InvalidTranscript::Malformed("not a JSON object".to_owned()));
        }
        let versioned: Versioned = serde_json::from_str(json).map_err(malformed)?;
        match versioned.version {
            None => return Err(InvalidTranscript::Malformed("there is no `version`".to_owned())),
            Some(version) if version == SCHEMA_VERSION => {}
            Some(version) => {
                let version = version.to_string().chars().take(40).collect();
                return Err(InvalidTranscript::UnknownVersion(version));
            }
        }
        let transcript: Self = serde_json::from_str(json).map_err(malformed)?;
        transcript.check().map_err(InvalidTranscript::Malformed)?;
        Ok(transcript)
    }

    fn check(&self) -> Result<(), String> {
        let Processing { wall_seconds, cpu_seconds, audio_seconds_per_core_second, stages, .. } =
            &self.processing;
        let durations = [self.source.duration, *wall_seconds, *cpu_seconds]
            .into_iter()
            .chain([*audio_seconds_per_core_second])
            .chain(stages.iter().map(|stage| stage.seconds));
        if let Some(negative) = durations.into_iter().find(|seconds| *seconds < 0.0) {
            return Err(format!("{negative} is negative"));
        }
        for (index, segment) in self.segments.iter().enumerate() {
            let at = |what: String| format!("segment {index}: {what}");
            check_span(segment.start, segment.end).map_err(at)?;
            check_probability(segment.confidence).map_err(at)?;
            for word in &segment.words {
                check_span(word.start, word.end).map_err(at)?;
                word.confidence.map_or(Ok(()), check_probability).map_err(at)?;
            }
        }
        Ok(())
    }
}

fn check_span(start: f64, end: f64) -> Result<(), String> {
    if start < 0.0 {
        return Err(format!("starts at {start}, before the recording"));
    }
    if end < start {
        return Err(format!("ends at {end}, before its start at {start}"));
    }
    Ok(())
}

fn check_probability(confidence: f32) -> Result<(), String> {
    if (0.0..=1.0).contains(&confidence) {
        return Ok(());
    }
    Err(format!("confidence {confidence} is not between 0 and 1"))
}
