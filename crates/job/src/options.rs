//! Options of a job.

use std::{collections::BTreeSet, str::FromStr};

use formats::Format;
use location::Location;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{strict_json, string_enum::string_enum};

/// Limit for the hotwords of a job.
pub const MAX_HOTWORDS: usize = 1000;
/// Limit for the characters of a hotword.
pub const MAX_HOTWORD_CHARACTERS: usize = 64;
/// Limit for the characters of a prompt.
pub const MAX_PROMPT_CHARACTERS: usize = 1000;
/// Limit for the number of speakers. Nobody can tell more of them apart.
pub const MAX_SPEAKERS: u32 = 64;

/// How to transcribe. The worker's configuration decides options that are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Options")]
pub struct JobOptions {
    /// Formats to write in addition to JSON, which is always written.
    #[serde(
        default,
        skip_serializing_if = "BTreeSet::is_empty",
        deserialize_with = "strict_json::set"
    )]
    pub formats: BTreeSet<Format>,
    /// Whether the names of subtitles (`srt`, `vtt`) carry the language of the transcript:
    /// `<output>.en.srt`. Without a known language, they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_suffix: Option<bool>,
    /// Name of the preset, or of the recognizer's model, which the worker must have loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
    pub model: Option<String>,
    /// ISO 639-1 or -3 code of the language spoken, e.g. `en`. Detected if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]{2,3}$"))]
    pub language: Option<String>,
    /// What to do with the channels of a recording that has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelMode>,
    /// Audio track of a recording that has several: its number, counted from 1, or the code of its
    /// language, e.g. `2` or `en`, or `all`. The default track if absent, else the first that can be
    /// decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([1-9][0-9]{0,2}|[a-z]{2,3})$"))]
    pub audio_track: Option<String>,
    /// Words and names to expect, in addition to the worker's own. Speech that sounds like a
    /// hotword is more likely to be transcribed as that hotword. Models that do not support
    /// hotwords ignore them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_HOTWORDS), inner(length(min = 1, max = MAX_HOTWORD_CHARACTERS)))]
    pub hotwords: Vec<String>,
    /// Text that could precede the recording: names and spellings in context, and the style of the
    /// transcript. Models that do not support prompts ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PROMPT_CHARACTERS))]
    pub prompt: Option<String>,
    /// Whether the text is in the language spoken, or in English; in the language spoken if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Whether a punctuation model adds punctuation if the recognizer does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub punctuate: Option<bool>,
    /// Whether numbers, dates and amounts are written as digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Whether the transcript has words with their times, where the model finds them; it has if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_times: Option<bool>,
    /// Whether to tell speakers apart, and how many there are. Not told apart if absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "strict_json::some_object"
    )]
    pub speakers: Option<Speakers>,
}

/// Number of speakers, or bounds for it, and who they may be. Without `count`, the number is estimated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Speakers {
    /// Exact number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub count: Option<u32>,
    /// Minimum number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub min: Option<u32>,
    /// Maximum number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub max: Option<u32>,
    /// File of voice prints, which names the speakers that it knows: `s3://bucket/key` or `file:///path`, below
    /// one of the prefixes that workers may read recordings at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub voices: Option<String>,
}

/// Whether speech is written down in its own language or in English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Task {
    Transcribe,
    Translate,
}

string_enum!(Task, "task", {
    Transcribe => "transcribe",
    Translate => "translate",
});

/// Whether channels are mixed into one or transcribed separately: `auto` separates the two sides of a call, and
/// mixes the channels of everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ChannelMode {
    Mix,
    Split,
    Auto,
}

string_enum!(ChannelMode, "channel mode", {
    Mix => "mix",
    Split => "split",
    Auto => "auto",
});

impl JobOptions {
    /// Checks the options for values that no worker would accept.
    ///
    /// # Errors
    ///
    /// A message with the option and its value.
    pub fn check(&self) -> Result<(), String> {
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        if let Some(model) = &self.model
            && !(model.len() <= 128
                && model.starts_with(alphanumeric)
                && model.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-')))
        {
            return Err(format!("model {model:?} is not the name of a model"));
        }
        if let Some(language) = &self.language
            && !(matches!(language.len(), 2 | 3)
                && language.chars().all(|c| c.is_ascii_lowercase()))
        {
            return Err(format!("language {language:?} is not a code such as \"en\" or \"yue\""));
        }
        if self.formats.contains(&Format::Ctm) && self.word_times == Some(false) {
            return Err(
                "the format ctm lists words with their times, and `word_times` is false".to_owned()
            );
        }
        if let Some(track) = &self.audio_track
            && !is_track(track)
        {
            return Err(format!(
                "audio track {track:?} is neither a number from 1 to 999 nor the code of a language \
                 such as \"en\""
            ));
        }
        if self.hotwords.len() > MAX_HOTWORDS {
            let count = self.hotwords.len();
            return Err(format!("{count} hotwords, the limit is {MAX_HOTWORDS}"));
        }
        if let Some(word) = self.hotwords.iter().find(|word| !is_hotword(word)) {
            return Err(format!(
                "hotword {word:?} is empty, is longer than {MAX_HOTWORD_CHARACTERS} characters, or \
                 contains control characters"
            ));
        }
        if let Some(prompt) = &self.prompt
            && (prompt.trim().is_empty()
                || prompt.chars().count() > MAX_PROMPT_CHARACTERS
                || prompt.contains(char::is_control))
        {
            return Err(format!(
                "the prompt is empty, is longer than {MAX_PROMPT_CHARACTERS} characters, or contains \
                 control characters"
            ));
        }
        self.speakers.as_ref().map_or(Ok(()), Speakers::check)
    }
}

fn is_track(track: &str) -> bool {
    let is_number = track.chars().all(|c| c.is_ascii_digit()) && !track.starts_with('0');
    match track.len() {
        1 => is_number,
        2 | 3 => is_number || track.chars().all(|c| c.is_ascii_lowercase()),
        _ => false,
    }
}

fn is_hotword(word: &str) -> bool {
    !word.trim().is_empty()
        && word.chars().count() <= MAX_HOTWORD_CHARACTERS
        && !word.contains(char::is_control)
}

impl FromStr for Speakers {
    type Err = String;

    /// Parses `any`, a number, or a range such as `2-5`, as people write them.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| format!("`{text}` is not a number of speakers"))
        };
        let speakers = match (text, text.split_once('-')) {
            ("any", _) => Self::default(),
            (_, Some((min, max))) => {
                Self { min: Some(number(min)?), max: Some(number(max)?), ..Self::default() }
            }
            (count, None) => Self { count: Some(number(count)?), ..Self::default() },
        };
        Ok(speakers)
    }
}

impl Speakers {
    fn check(&self) -> Result<(), String> {
        let Self { count, min, max, ref voices } = *self;
        if [count, min, max].into_iter().flatten().any(|n| !(1..=MAX_SPEAKERS).contains(&n)) {
            return Err(format!("the number of speakers must be from 1 to {MAX_SPEAKERS}"));
        }
        if count.is_some() && (min.is_some() || max.is_some()) {
            return Err("speakers: `count` excludes `min` and `max`".to_owned());
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("speakers: `min` {min} is greater than `max` {max}"));
        }
        if let Some(voices) = voices {
            let location = Location::parse_object(voices, 0);
            let location = location.map_err(|error| format!("speakers: voices {error}"))?;
            // Records of submissions hold the options, and must not hold what is secret in a URL.
            if matches!(location, Location::Http(_)) {
                let message = "speakers: voices cannot be a URL: copy the file to an s3:// prefix or to a \
                               folder that the workers read";
                return Err(message.to_owned());
            }
        }
        Ok(())
    }
}
