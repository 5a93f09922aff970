//! Known voices: prints of the voices of people, and which speakers of a recording have one of them.
//!
//! A print is made as the centre of a speaker's cluster is: the mean of the unit embeddings of windows of
//! 1.5 s, weighted by their seconds, normalised ([`Direction`]). Prints and centres are compared by cosine.
//! Embeddings of different models have nothing in common, so a file of prints is for one model, which it
//! names by the digest of its file.
//!
//! Prints are biometric data: docs/speakers.md says what follows from that.

mod direction;
mod enrolment;
mod file;
#[cfg(test)]
mod tests;

pub use direction::Direction;
pub use enrolment::{Enrolment, LIKELY_SEVERAL, halves, window_ranges};
pub use file::MAX_FILE_BYTES;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use transcript::MAX_SPEAKER_NAME;

use super::SpeakerEncoder;
pub use super::vectors::cosine;
use crate::bits;

/// Limit for the voices of a file.
pub const MAX_VOICES: usize = 1000;
/// Limit for the values of a print: that of a speaker encoder's embeddings.
const MAX_WIDTH: usize = 4096;
/// How far the square of a print's length may be from 1.
const UNIT_TOLERANCE: f64 = 1e-3;
/// Least cosine of a print and the centre of a speaker who gets its name. Measured (docs/speakers.md): of strangers,
/// hardly any reached it, and more reach 0.7 the more they speak; of voices in the session of their enrolment, 2 to 10 %
/// stay below it with 5 to 10 s of speech. A name that is missing is better than a wrong one.
pub const MIN_SIMILARITY: f32 = 0.75;

/// The voices of people, for one speaker encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct VoicePrints {
    encoder: Encoder,
    /// In order of name; the values of their prints are finite.
    voices: Vec<Voice>,
}

// No value is NaN.
impl Eq for VoicePrints {}

/// Which speaker encoder has made prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// For people: the same model may have other names.
    pub name: String,
    /// Hexadecimal SHA-256 of its file.
    pub digest: String,
}

/// The voice of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// Name of the person, as transcripts show it.
    pub name: String,
    /// Seconds of speech that the print was made of.
    pub seconds: f64,
    /// Number of recordings that the speech came from.
    pub recordings: u32,
    /// Unit vector.
    #[serde(with = "bits::of_vector")]
    pub print: Vec<f32>,
}

/// A speaker's voice, recognized.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub name: String,
    /// Cosine of the speaker's centre and the print, -1 to 1.
    pub similarity: f32,
}

/// What is wrong with voice prints. The message leaves out the file they come from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("it has {bytes} bytes, the limit for voice prints is {MAX_FILE_BYTES}")]
    TooLarge { bytes: usize },
    /// Not JSON, or fields are missing, unknown or of another type.
    #[error("it is not a file of voice prints")]
    Malformed(#[from] serde_json::Error),
    #[error(
        "its voice prints have version {found}, this program reads version {known}: take a newer program, \
         or enroll the voices again", known = file::VERSION
    )]
    UnknownVersion { found: String },
    #[error("it has {0} voices, the limit is {MAX_VOICES}")]
    TooMany(usize),
    #[error("the name {name:?} {reason}")]
    Name { name: String, reason: String },
    #[error("the print of {name:?} {reason}: the file is damaged, enroll the voice again")]
    Print { name: String, reason: &'static str },
    #[error(
        "the voice prints were made with another speaker model ({}) than the one in use ({}), and \
         prints of two models cannot be compared: enroll the voices again with this model, or set the \
         other one", described(.prints), described(.used)
    )]
    OtherEncoder { prints: Encoder, used: Encoder },
}

/// Names an encoder for people.
fn described(encoder: &Encoder) -> String {
    let digest: String = encoder.digest.chars().take(8).collect();
    format!("{}, digest {digest}", encoder.name)
}

impl From<&SpeakerEncoder> for Encoder {
    fn from(encoder: &SpeakerEncoder) -> Self {
        Self { name: encoder.name().to_owned(), digest: encoder.digest().to_owned() }
    }
}

impl VoicePrints {
    /// Makes an empty set of prints of an encoder.
    pub fn new(encoder: Encoder) -> Self {
        Self { encoder, voices: Vec::new() }
    }

    /// Returns the encoder that made the prints.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the voices in order of name.
    pub fn voices(&self) -> &[Voice] {
        &self.voices
    }

    /// Checks that an encoder's embeddings may be compared with the prints.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`].
    pub fn check_encoder(&self, encoder: &Encoder) -> Result<(), Error> {
        if self.encoder.digest == encoder.digest {
            return Ok(());
        }
        Err(Error::OtherEncoder { prints: self.encoder.clone(), used: encoder.clone() })
    }

    /// Adds a voice, in place of the one with its name if there is one. Returns whether there was.
    ///
    /// # Errors
    /// [`Error::Name`] if transcripts cannot have the name, [`Error::TooMany`], and [`Error::Print`] if
    /// the print is no unit vector or has another number of values than those of the other voices.
    pub fn insert(&mut self, voice: Voice) -> Result<bool, Error> {
        check_name(&voice.name)?;
        check_print(&voice, self.voices.first().map(|first| first.print.len()))?;
        match self.position(&voice.name) {
            Ok(index) => {
                self.voices[index] = voice;
                Ok(true)
            }
            Err(_) if self.voices.len() >= MAX_VOICES => Err(Error::TooMany(MAX_VOICES + 1)),
            Err(index) => {
                self.voices.insert(index, voice);
                Ok(false)
            }
        }
    }

    /// Removes the voice with a name. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let found = self.position(name);
        found.is_ok_and(|index| {
            self.voices.remove(index);
            true
        })
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.voices.binary_search_by(|voice| voice.name.as_str().cmp(name))
    }

    /// Returns the hexadecimal SHA-256 of what names depend on: the encoder, the names and the prints.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(self.encoder.digest.as_bytes());
        for Voice { name, print, .. } in &self.voices {
            add(name.as_bytes());
            let values: Vec<u8> = print.iter().flat_map(|value| value.to_le_bytes()).collect();
            add(&values);
        }
        hex::encode(hash.finalize())
    }

    /// Returns whose voice each speaker of a recording has, by the centres of the speakers' embeddings
    /// (vectors of any length, [`Direction`]). Names and speakers are matched one to one, the most
    /// similar first, and none below [`MIN_SIMILARITY`].
    pub fn names(&self, centres: &[Vec<f32>]) -> Vec<Option<Match>> {
        let mut pairs = Vec::new();
        for (speaker, centre) in centres.iter().enumerate() {
            for (known, voice) in self.voices.iter().enumerate() {
                let similarity = cosine(centre, &voice.print);
                if similarity >= MIN_SIMILARITY {
                    pairs.push((similarity, speaker, known));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut names = vec![None; centres.len()];
        let mut is_taken = vec![false; self.voices.len()];
        for (similarity, speaker, known) in pairs {
            if names[speaker].is_none() && !is_taken[known] {
                is_taken[known] = true;
                let name = self.voices[known].name.clone();
                names[speaker] = Some(Match { name, similarity });
            }
        }
        names
    }
}

/// Checks that transcripts can have a name as it is, on one line.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let refused = |reason: String| Err(Error::Name { name: name.to_owned(), reason });
    let length = name.chars().count();
    if length > MAX_SPEAKER_NAME {
        return refused(format!("has {length} characters, the limit is {MAX_SPEAKER_NAME}"));
    }
    let clean = transcript::clean_name(name);
    if clean.is_empty() {
        return refused("has no visible characters".to_owned());
    }
    if clean != name {
        return refused(format!("is not on one line without spaces around it: try {clean:?}"));
    }
    Ok(())
}

/// Checks that a print is a unit vector of the width of the others.
fn check_print(voice: &Voice, width: Option<usize>) -> Result<(), Error> {
    let Voice { name, seconds, print, .. } = voice;
    let refused = |reason| Err(Error::Print { name: name.clone(), reason });
    if width.is_some_and(|width| width != print.len()) {
        return refused("has another number of values than the others");
    }
    if !(2..=MAX_WIDTH).contains(&print.len()) {
        return refused("has too few or too many values");
    }
    let square: f64 = print.iter().map(|&value| f64::from(value).powi(2)).sum();
    // Also false for values that are not numbers.
    let is_unit = (square - 1.0).abs() <= UNIT_TOLERANCE;
    if !is_unit {
        return refused("is not a unit vector");
    }
    if !seconds.is_finite() || *seconds < 0.0 {
        return refused("has a number of seconds that is none");
    }
    Ok(())
}
