//! The seam where a model family joins: PCM in, hypotheses out.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

/// What turns speech into words. One instance serves all threads: it holds the weights, and lends
/// each call the buffers it needs.
pub trait Recognizer: Send + Sync {
    fn description(&self) -> &Description;

    /// Longest input of one call, in seconds.
    fn max_seconds(&self) -> f64;

    /// `true` if a call costs the same whatever its length, so that short segments are worth
    /// joining into one window of [`Recognizer::max_seconds`] (Whisper).
    fn fixed_window(&self) -> bool;

    /// Whether its text comes with punctuation and digits as people write them, so that no other
    /// model need add them. `normalize`: as in [`Options::normalize`].
    fn punctuates(&self, normalize: bool) -> bool;

    /// Whether [`Options::hotwords`] makes a difference.
    fn takes_hotwords(&self) -> bool {
        false
    }

    /// Whether all of `hotwords` can be expected.
    ///
    /// # Errors
    /// [`Error::Hotword`] names the first that cannot.
    fn check_hotwords(&self, _hotwords: &[String]) -> Result<(), Error> {
        Ok(())
    }

    /// Whether what a channel's first speech is taken for goes for the rest of it, too: better than
    /// guessing anew where a guess costs time, or is poor on short speech.
    fn keeps_language(&self) -> bool {
        false
    }

    /// Recognizes one window or segment of 16 kHz mono PCM in [-1, 1).
    fn recognize(&self, samples: &[f32], options: &Options) -> Result<Recognition, Error>;
}

/// What a recognizer is, for transcripts and fingerprints.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Name of the model, e.g. `whisper-tiny.en`.
    pub name: String,
    /// `whisper`, `paraformer`, ...
    pub family: &'static str,
    /// `int8`, `bf16` or `f32`.
    pub precision: &'static str,
    /// SHA-256 over the model's files, the precision and the decoding settings.
    pub digest: String,
    /// Codes of the languages it knows.
    pub languages: Vec<String>,
}

/// Which numbers a model's linear layers compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The fastest: `Int8`, which costs a few words (docs/benchmarks.md).
    #[default]
    Auto,
    /// 8-bit integers: from a file that was quantized, or quantized when the model is opened.
    Int8,
    /// bfloat16 with sums in f32: from a file of floats.
    Bf16,
    /// From a file of floats.
    F32,
}

/// Per job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Language code; `None`: a model of several languages guesses.
    pub language: Option<String>,
    /// Words and names to expect; families that cannot make use of them pass them over.
    pub hotwords: Arc<[String]>,
    /// Write numbers, dates and the like as digits, where the model itself can (SenseVoice).
    pub normalize: bool,
}

/// What one call heard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recognition {
    pub hypotheses: Vec<Hypothesis>,
    /// The language spoken, if the model was not told and had to guess.
    pub guess: Option<LanguageGuess>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LanguageGuess {
    pub language: String,
    pub probability: f32,
}

/// A stretch of recognized text. Times are seconds from the start of the samples given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hypothesis {
    pub start: f64,
    pub end: f64,
    pub text: String,
    pub tokens: Vec<u32>,
    /// Mean natural log-probability of the tokens.
    pub log_probability: f32,
    /// Empty if the family gives no word times. A word is what the text's spaces separate, or a
    /// character in scripts that do without them.
    pub words: Vec<Word>,
    /// How the speaker sounds, e.g. `happy`, where the model tells (SenseVoice).
    pub emotion: Option<String>,
    /// What is heard besides, or instead of, speech, e.g. `laughter` (SenseVoice).
    pub event: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub start: f64,
    pub end: f64,
    pub text: String,
    pub log_probability: f32,
}

/// Errors of opening and running models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("model {}: {message}", path.display())]
    Model { path: PathBuf, message: String },
    #[error("the model knows no language `{0}`")]
    UnknownLanguage(String),
    /// A word to expect that the model cannot take.
    #[error("hotword `{hotword}` {message}")]
    Hotword { hotword: String, message: String },
    #[error("network: {0}")]
    Network(String),
}
