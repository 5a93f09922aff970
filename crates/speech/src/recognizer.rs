//! The interface that a model family implements: samples in, hypotheses out.

use std::{path::PathBuf, sync::Arc};

pub use engine::Precision;
use serde::{Deserialize, Serialize};

use crate::bits;
#[cfg(any(test, feature = "test-util"))]
pub use crate::fake_recognizer::FakeRecognizer;

/// A model that turns speech into words. One instance serves all threads: it holds the weights and
/// lends each call the buffers it needs.
pub trait Recognizer: Send + Sync {
    /// Returns the identity of the recognizer, for transcripts and fingerprints.
    fn description(&self) -> &Description;

    /// Returns the longest input of one call, in seconds.
    fn max_seconds(&self) -> f64;

    /// Returns `true` if a call costs the same whatever the length of its input (Whisper). The
    /// pipeline then packs short segments into windows of up to [`Recognizer::max_seconds`].
    fn fixed_window(&self) -> bool;

    /// Returns whether the text comes with punctuation and with numbers as digits, so that no other
    /// model needs to add them. `normalize`: as in [`RecognizeOptions::normalize`].
    fn punctuates(&self, normalize: bool) -> bool;

    /// Returns whether [`RecognizeOptions::hotwords`] has an effect.
    fn takes_hotwords(&self) -> bool {
        false
    }

    /// Checks that the recognizer can be biased towards all of `hotwords`.
    ///
    /// # Errors
    /// [`Error::Hotword`] names the first hotword that it does not support.
    fn check_hotwords(&self, _hotwords: &[String]) -> Result<(), Error> {
        Ok(())
    }

    /// Returns whether [`RecognizeOptions::prompt`] has an effect.
    fn takes_prompt(&self) -> bool {
        false
    }

    /// Returns whether [`RecognizeOptions::translate`] is supported.
    fn translates(&self) -> bool {
        false
    }

    /// Returns whether the language detected in the first speech of a channel applies to the rest of
    /// the channel. That is better than detecting it for each window where detection costs time or
    /// is unreliable on short speech.
    fn keeps_language(&self) -> bool {
        false
    }

    /// Returns the mean natural log-probability of tokens below which the text of a recording is
    /// probably made up for speech in a language that the model does not know. Returns `None` if it
    /// knows more than one language, or if nobody has measured this for it.
    fn foreign_below(&self) -> Option<f32> {
        None
    }

    /// Recognizes one window or segment of 16 kHz mono PCM in [-1, 1).
    ///
    /// # Errors
    /// [`Error::UnknownLanguage`] or [`Error::Hotword`] if the options are not supported, and
    /// [`Error::Engine`] or [`Error::Network`] if the network fails.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error>;
}

/// Identity of a recognizer, for transcripts and fingerprints.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Name of the model, e.g. `whisper-tiny.en`.
    pub name: String,
    /// Name of the model family: `whisper`, `paraformer`, ...
    pub family: &'static str,
    /// `int8`, `bf16` or `f32`.
    pub precision: &'static str,
    /// SHA-256 over the model's files, the precision and the decoding options.
    pub digest: String,
    /// Codes of the languages that the model recognizes.
    pub languages: Vec<String>,
}

impl Description {
    /// Returns the error for a language that the model does not know.
    pub(crate) fn unknown_language(&self, language: &str) -> Error {
        Error::UnknownLanguage {
            language: language.to_owned(),
            model: self.name.clone(),
            languages: self.languages.clone(),
        }
    }
}

/// Options of one call, the same for all calls of a job except for the language.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecognizeOptions {
    /// Language code; with `None`, a multilingual model detects the language.
    pub language: Option<String>,
    /// Words and names that the recognizer is biased towards. Families without support ignore them.
    pub hotwords: Arc<[String]>,
    /// Text that could precede the recording. Families without support ignore it.
    pub prompt: Option<String>,
    /// Write the text in English, where [`Recognizer::translates`].
    pub translate: bool,
    /// Find the times of words, where the family can leave them out (Whisper).
    pub word_times: bool,
    /// Write numbers, dates and the like as digits, where the model itself can (SenseVoice).
    pub normalize: bool,
}

/// Result of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recognition {
    pub hypotheses: Vec<Hypothesis>,
    /// The language spoken, if the options named none and the model detects it.
    pub detected_language: Option<DetectedLanguage>,
}

/// A language that the model detected.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectedLanguage {
    /// Language code.
    pub language: String,
    pub probability: f32,
}

/// A span of recognized text. Times are in seconds from the start of the samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    #[serde(with = "bits::of_f64")]
    pub start: f64,
    #[serde(with = "bits::of_f64")]
    pub end: f64,
    pub text: String,
    pub tokens: Vec<u32>,
    /// Mean natural log-probability of the tokens.
    #[serde(with = "bits::of_f32")]
    pub log_probability: f32,
    /// Probability that nobody speaks in the audio that the text is of, where the model estimates it
    /// (Whisper). Checkpoints of earlier versions lack it.
    #[serde(default, with = "bits::of_optional_f32")]
    pub no_speech_probability: Option<f32>,
    /// Empty if the family gives no word times. A word is what spaces separate in the text, or one
    /// character in scripts without spaces.
    pub words: Vec<Word>,
    /// Emotion of the speaker, e.g. `happy`, where the model detects it (SenseVoice).
    pub emotion: Option<String>,
    /// Sound besides or instead of speech, e.g. `laughter` (SenseVoice).
    pub event: Option<String>,
}

/// A word with its times, in seconds from the start of the samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    #[serde(with = "bits::of_f64")]
    pub start: f64,
    #[serde(with = "bits::of_f64")]
    pub end: f64,
    pub text: String,
    /// Natural log-probability.
    #[serde(with = "bits::of_f32")]
    pub log_probability: f32,
}

/// The cause of an error of any type.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Errors of opening and running models.
///
/// A message leaves out the text of its source: print the whole chain, as `anyhow`'s `{:#}` does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the model is missing, broken, or not supported.
    #[error("model {}: {message}", path.display())]
    Model {
        path: PathBuf,
        message: String,
        #[source]
        cause: Option<Cause>,
    },
    /// The model does not know the language that the options name.
    #[error("the model `{model}` {}", languages_but(languages, language))]
    UnknownLanguage {
        language: String,
        model: String,
        /// Those that the model knows.
        languages: Vec<String>,
    },
    /// A hotword that the model does not support.
    #[error("hotword `{hotword}` {message}")]
    Hotword { hotword: String, message: String },
    /// The engine refused the inputs of a network, or failed to run it.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A network ran, but its outputs cannot be used.
    #[error("network: {0}")]
    Network(String),
}

/// A model that knows more languages than this is as multilingual as any other. Fewer are listed.
const MAX_LISTED_LANGUAGES: usize = 8;

/// Says which languages a model knows, that `language` is none of them, and what to do.
fn languages_but(languages: &[String], language: &str) -> String {
    const ANOTHER: &str = "choose a multilingual model, such as whisper-base";
    match languages {
        [only] if only == "en" => format!("knows only English, not `{language}`: {ANOTHER}"),
        [_, .., last] if languages.len() <= MAX_LISTED_LANGUAGES => {
            let others = languages[..languages.len() - 1].join(", ");
            format!("knows {others} and {last}, but not `{language}`: {ANOTHER}")
        }
        [] | [_] => format!("knows only {}, not `{language}`: {ANOTHER}", languages.concat()),
        _ => format!(
            "knows {} languages, but none with the code `{language}`: name one by its ISO 639 code, \
             such as `de`, or leave the option out to have it detected",
            languages.len()
        ),
    }
}

/// Reads a precision in a test's fixture.
#[cfg(test)]
pub(crate) fn deserialize_precision<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Precision, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_language_is_refused_with_what_the_model_knows() {
        let message = |languages: &[&str]| {
            let languages = languages.iter().map(|&code| code.to_owned()).collect();
            let description = Description { languages, ..Description::of_test("m") };
            description.unknown_language("de").to_string()
        };
        let another = "choose a multilingual model, such as whisper-base";
        let only = |known: &str| format!("the model `m` knows only {known}, not `de`: {another}");
        assert_eq!(message(&["en"]), only("English"));
        assert_eq!(message(&["fr"]), only("fr"));
        assert_eq!(
            message(&["zh", "en", "ko"]),
            format!("the model `m` knows zh, en and ko, but not `de`: {another}")
        );
        assert_eq!(
            message(&["en"; 99]),
            "the model `m` knows 99 languages, but none with the code `de`: name one by its ISO 639 \
             code, such as `de`, or leave the option out to have it detected"
        );
    }
}
