//! The transcript as JSON: writing, strict reading, and the schema.

use std::str::Utf8Error;

use serde::Deserialize;

use crate::{Processing, SCHEMA_VERSION, Transcript};

/// Why bytes are not a transcript that this version can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTranscript {
    #[error("transcript is not valid UTF-8")]
    NotUtf8(#[from] Utf8Error),
    /// Invalid JSON, or JSON with missing, unknown or mistyped fields.
    #[error("transcript is not valid")]
    Json(#[from] serde_json::Error),
    /// A value that the schema does not allow; says which.
    #[error("transcript is not valid: {0}")]
    Malformed(String),
    #[error("transcript has version {0}; this program supports version {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

/// Returns the JSON Schema (draft 2020-12) of a transcript, as published in
/// `docs/schemas/transcript.v1.schema.json`.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Transcript).to_value()
}

/// The version alone, which is read before the rest.
#[derive(Deserialize)]
struct Versioned {
    version: Option<serde_json::Value>,
}

impl Transcript {
    /// Writes indented JSON that ends with a line feed. Times are rounded to milliseconds,
    /// probabilities to four decimals.
    pub fn to_json_pretty(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("every transcript can be written as JSON");
        json.push('\n');
        json
    }

    /// Reads a transcript from JSON.
    ///
    /// # Errors
    ///
    /// Checks the version before anything else. Refuses unknown fields, negative times, spans that
    /// end before they start, and probabilities outside [0, 1].
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidTranscript> {
        let json = std::str::from_utf8(bytes)?;
        // serde would accept an array for a struct.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(InvalidTranscript::Malformed("not a JSON object".to_owned()));
        }
        let versioned: Versioned = serde_json::from_str(json)?;
        match versioned.version {
            None => return Err(InvalidTranscript::Malformed("there is no `version`".to_owned())),
            Some(version) if version == SCHEMA_VERSION => {}
            Some(version) => {
                let version = version.to_string().chars().take(40).collect();
                return Err(InvalidTranscript::UnknownVersion(version));
            }
        }
        let transcript: Self = serde_json::from_str(json)?;
        transcript.check().map_err(InvalidTranscript::Malformed)?;
        Ok(transcript)
    }

    /// Returns whether bytes begin as a transcript of any version does, even if it is damaged.
    pub fn is_of_any_version(bytes: &[u8]) -> bool {
        let begin = bytes.iter().take(128).filter(|byte| !byte.is_ascii_whitespace());
        let begin: Vec<u8> = begin.copied().collect();
        let Some(rest) = begin.strip_prefix(b"{\"version\":") else { return false };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && rest[digits..].starts_with(b",\"source\":{\"uri\":")
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
            let at = |problem: String| format!("segment {index}: {problem}");
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
