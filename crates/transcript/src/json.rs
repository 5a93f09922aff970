//! The transcript as JSON: writing, reading, and the schema.

use std::str::Utf8Error;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{MAX_SPEAKER_NAME, Processing, SCHEMA_VERSION, Transcript, v1::TranscriptV1};

/// Address of the schema, by which others may refer to it.
const SCHEMA_ID: &str = "https://raw.githubusercontent.com/scriptorium-asr/scriptorium/main/docs/schemas/transcript.v2.schema.json";

/// Why bytes are not a transcript that this version can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTranscript {
    #[error("transcript is not valid UTF-8")]
    NotUtf8(#[from] Utf8Error),
    #[error("transcript is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// A field that is missing or has another type; `path` is that of the field, or of the object that
    /// lacks it. (It quotes the file, so `reason` has at most 400 characters.)
    #[error("transcript is not valid at {path}: {reason}")]
    Field { path: String, reason: String },
    /// A value that the schema does not allow; says where and which.
    #[error("transcript is not valid: {0}")]
    Malformed(String),
    #[error("transcript has version {0}; this program reads versions 1 and {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

/// Returns the JSON Schema (draft 2020-12) of a transcript, as published in
/// `docs/schemas/transcript.v2.schema.json`. It allows further fields.
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Transcript);
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    schema.to_value()
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

    /// Reads a transcript from JSON. One of version 1 becomes one of version 2: its segments are numbered,
    /// its speakers listed, its text and its language found. Fields that are not known are left out.
    ///
    /// # Errors
    ///
    /// Checks the version before anything else. Refuses missing fields and those of another type, negative
    /// times, spans that end before they start, probabilities outside [0, 1], segments that share an
    /// id, speakers that are not listed, and names of speakers that are too long. Says where.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidTranscript> {
        let json = std::str::from_utf8(bytes)?;
        // serde would accept an array for a struct.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(InvalidTranscript::Malformed("not a JSON object".to_owned()));
        }
        let versioned: Versioned = serde_json::from_str(json)?;
        let transcript = match versioned.version {
            None => return Err(InvalidTranscript::Malformed("there is no `version`".to_owned())),
            Some(version) if version == 1 => read::<TranscriptV1>(json)?.into(),
            Some(version) if version == SCHEMA_VERSION => read::<Self>(json)?,
            Some(version) => {
                let version = version.to_string().chars().take(40).collect();
                return Err(InvalidTranscript::UnknownVersion(version));
            }
        };
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
        check_seconds("source.duration", self.source.duration)?;
        check_seconds("processing.wall_seconds", *wall_seconds)?;
        check_seconds("processing.cpu_seconds", *cpu_seconds)?;
        let speed = *audio_seconds_per_core_second;
        check_seconds("processing.audio_seconds_per_core_second", speed)?;
        for (index, stage) in stages.iter().enumerate() {
            check_seconds(&format!("processing.stages[{index}].seconds"), stage.seconds)?;
        }
        self.check_speakers()?;
        self.check_segments()?;
        self.check_turns()
    }

    fn check_speakers(&self) -> Result<(), String> {
        let mut last = None;
        for (index, speaker) in self.speakers.iter().enumerate() {
            let at = format!("speakers[{index}]");
            check_seconds(&format!("{at}.seconds"), speaker.seconds)?;
            if last.is_some_and(|last| speaker.id <= last) {
                return Err(format!("{at}.id: {} does not follow the id before it", speaker.id));
            }
            last = Some(speaker.id);
            for (field, name) in [("label", Some(&speaker.label)), ("name", speaker.name.as_ref())]
            {
                if name.is_some_and(|name| name.chars().count() > MAX_SPEAKER_NAME) {
                    let limit = format!("it has more than {MAX_SPEAKER_NAME} characters");
                    return Err(format!("{at}.{field}: {limit}"));
                }
            }
        }
        Ok(())
    }

    fn check_segments(&self) -> Result<(), String> {
        let mut ids = std::collections::HashSet::with_capacity(self.segments.len());
        for (index, segment) in self.segments.iter().enumerate() {
            let at = format!("segments[{index}]");
            if !ids.insert(segment.id) {
                return Err(format!("{at}.id: {} is the id of another segment, too", segment.id));
            }
            check_span(&at, segment.start, segment.end)?;
            check_probability(&at, "confidence", Some(segment.confidence))?;
            check_probability(&at, "no_speech_probability", segment.no_speech_probability)?;
            self.check_speaker(&at, "speaker", segment.speaker)?;
            for (index, word) in segment.words.iter().enumerate() {
                let at = format!("{at}.words[{index}]");
                check_span(&at, word.start, word.end)?;
                check_probability(&at, "confidence", word.confidence)?;
                self.check_speaker(&at, "speaker", word.speaker)?;
                self.check_speaker(&at, "other_speaker", word.other_speaker)?;
            }
        }
        Ok(())
    }

    fn check_turns(&self) -> Result<(), String> {
        for (index, turn) in self.turns.iter().enumerate() {
            let at = format!("turns[{index}]");
            check_span(&at, turn.start, turn.end)?;
            self.check_speaker(&at, "speaker", Some(turn.speaker))?;
        }
        Ok(())
    }

    fn check_speaker(&self, at: &str, field: &str, id: Option<u32>) -> Result<(), String> {
        match id {
            Some(id) if self.speaker(id).is_none() => {
                Err(format!("{at}.{field}: {id} is not the id of one of the `speakers`"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a value, and says in which field it is wrong.
fn read<T: DeserializeOwned>(json: &str) -> Result<T, InvalidTranscript> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => "the root".to_owned(),
            path => path,
        };
        let reason = error.into_inner().to_string().chars().take(400).collect();
        InvalidTranscript::Field { path, reason }
    })?;
    deserializer.end()?;
    Ok(value)
}

fn check_seconds(at: &str, seconds: f64) -> Result<(), String> {
    if seconds < 0.0 { Err(format!("{at}: {seconds} is negative")) } else { Ok(()) }
}

fn check_span(at: &str, start: f64, end: f64) -> Result<(), String> {
    if start < 0.0 {
        return Err(format!("{at}.start: {start} is before the recording"));
    }
    if end < start {
        return Err(format!("{at}.end: {end} is before the start at {start}"));
    }
    Ok(())
}

fn check_probability(at: &str, field: &str, probability: Option<f32>) -> Result<(), String> {
    match probability {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(format!("{at}.{field}: {value} is not between 0 and 1"))
        }
        _ => Ok(()),
    }
}
