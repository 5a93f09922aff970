//! The seam where a model family joins: PCM in, hypotheses out.

use std::path::PathBuf;

/// What turns speech into words. One instance serves all threads: it holds the weights, and lends
/// each call the buffers it needs.
pub trait Recognizer: Send + Sync {
    fn description(&self) -> &Description;

    /// Longest input of one call, in seconds.
    fn max_seconds(&self) -> f64;

    /// `true` if a call costs the same whatever its length, so that short segments are worth
    /// joining into one window of [`Recognizer::max_seconds`] (Whisper).
    fn fixed_window(&self) -> bool;

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
    /// `f32`, `int8`, ...
    pub precision: &'static str,
    /// SHA-256 over the model's files and the decoding settings.
    pub digest: String,
    /// Codes of the languages it knows.
    pub languages: Vec<String>,
}

/// Per job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Language code; `None`: a model of several languages guesses.
    pub language: Option<String>,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    pub start: f64,
    pub end: f64,
    pub text: String,
    pub tokens: Vec<u32>,
    /// Mean natural log-probability of the tokens.
    pub log_probability: f32,
    /// Empty if the family gives no word times.
    pub words: Vec<Word>,
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
    #[error("network: {0}")]
    Network(String),
}
