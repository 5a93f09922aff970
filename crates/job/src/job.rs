use std::collections::BTreeSet;

use location::Location;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{BatchId, records, strict, words::words};

/// Version of the job message.
pub const SCHEMA_VERSION: u32 = 1;
/// A job message larger than this is refused unread.
pub const MAX_JOB_BYTES: usize = 64 * 1024;
/// So many hotwords a job may name, each no longer than that.
pub const MAX_HOTWORDS: usize = 1000;
pub const MAX_HOTWORD_CHARACTERS: usize = 64;
/// More speakers than this nobody tells apart.
pub const MAX_SPEAKERS: u32 = 64;

/// One recording to transcribe: the message in the job queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub version: u32,
    /// The first 32 hexadecimal digits of the SHA-256 of batch, source and output, joined by NUL
    /// characters. Same batch, source and output, same id: submitting twice makes no second job.
    #[schemars(regex(pattern = r"^[0-9a-f]{32}$"))]
    pub id: String,
    /// A UUID of version 7.
    pub batch: BatchId,
    /// The recording: `s3://bucket/key`, where the key is taken literally, or `file:///path`,
    /// percent-encoded.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub source: String,
    /// Where the transcript goes, without the extension that each format adds:
    /// `s3://bucket/prefix/a/b.wav` becomes `s3://bucket/prefix/a/b.wav.json`.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub output: String,
    /// Prefix under which the batch keeps its records, in the same store as the output.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub records: String,
    #[serde(default, deserialize_with = "strict::object")]
    pub options: Options,
}

/// How to transcribe; what is absent is the worker's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Renderings to write beside the JSON, which is always written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty", deserialize_with = "strict::set")]
    pub formats: BTreeSet<OutputFormat>,
    /// Name of the preset, or of the recognizer's model, which the worker must have loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
    pub model: Option<String>,
    /// ISO 639-1 or -3 code of the language spoken, e.g. `en`; absent: detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]{2,3}$"))]
    pub language: Option<String>,
    /// What to do with the channels of a recording that has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelMode>,
    /// Words and names to expect, besides the worker's own: what sounds like one of them is more
    /// likely to be written as it. Models that cannot make use of them pass them over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_HOTWORDS), inner(length(min = 1, max = MAX_HOTWORD_CHARACTERS)))]
    pub hotwords: Vec<String>,
    /// Whether a model without marks of its own gets them from a punctuation model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub punctuate: Option<bool>,
    /// Whether numbers, dates and amounts are written as digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Tell speakers apart; absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::some")]
    pub speakers: Option<Speakers>,
}

/// How many speakers there are; what is absent is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Speakers {
    /// Exactly so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub count: Option<u32>,
    /// At least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub min: Option<u32>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_SPEAKERS))]
    pub max: Option<u32>,
}

/// A rendering of the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum OutputFormat {
    Json,
    Srt,
    Vtt,
    Txt,
}

words!(OutputFormat, "format", {
    Json => "json",
    Srt => "srt",
    Vtt => "vtt",
    Txt => "txt",
});

/// Whether channels are mixed into one, or transcribed each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ChannelMode {
    Mix,
    Split,
}

words!(ChannelMode, "channel mode", {
    Mix => "mix",
    Split => "split",
});

/// Why bytes are not a job that this version understands. Permanent: reading again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJob {
    #[error("job message of {actual} bytes, the limit is {MAX_JOB_BYTES}")]
    TooLarge { actual: usize },
    #[error("job message is not valid: {0}")]
    Malformed(String),
    #[error("job message has version {0}, this worker understands {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

/// The JSON Schema (draft 2020-12) of a job message, as published in
/// `docs/schemas/job.v1.schema.json`. [`Job::from_slice`] accepts nothing that it refuses.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Job).to_value()
}

impl Job {
    /// Makes a job whose id follows from batch, source and output. It is not checked: see
    /// [`Job::validate`].
    pub fn new(
        batch: BatchId,
        source: String,
        output: String,
        records: String,
        options: Options,
    ) -> Self {
        let id = id_of(&batch, &source, &output);
        Self { version: SCHEMA_VERSION, id, batch, source, output, records, options }
    }

    /// Reads and validates a message; the version is looked at before anything else.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidJob> {
        if bytes.len() > MAX_JOB_BYTES {
            return Err(InvalidJob::TooLarge { actual: bytes.len() });
        }
        let malformed = |error: serde_json::Error| InvalidJob::Malformed(error.to_string());
        let json = std::str::from_utf8(bytes)
            .map_err(|error| InvalidJob::Malformed(format!("not UTF-8: {error}")))?;
        match strict::version(json).map_err(malformed)? {
            None => return Err(InvalidJob::Malformed("there is no `version`".to_owned())),
            Some(version) if version == SCHEMA_VERSION => {}
            Some(version) => {
                let version = version.to_string().chars().take(40).collect();
                return Err(InvalidJob::UnknownVersion(version));
            }
        }
        let strict::Object(job) =
            serde_json::from_str::<strict::Object<Self>>(json).map_err(malformed)?;
        job.validate()?;
        Ok(job)
    }

    /// Where the [`crate::Failed`] lies that stands beside where the transcript would be.
    pub fn error_record(&self) -> String {
        format!("{}.error.json", self.output)
    }

    /// Checks what a submitter should know before a worker says it: names, limits, identity.
    pub fn validate(&self) -> Result<(), InvalidJob> {
        if self.version != SCHEMA_VERSION {
            return Err(InvalidJob::UnknownVersion(self.version.to_string()));
        }
        self.check().map_err(InvalidJob::Malformed)?;
        let actual = self.to_vec().len();
        if actual > MAX_JOB_BYTES { Err(InvalidJob::TooLarge { actual }) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), String> {
        let longest_extension = ".json".len();
        let parse = |name: &str, uri: &str, appended| {
            Location::parse_object(uri, appended).map_err(|error| format!("{name} {error}"))
        };
        parse("source", &self.source, 0)?;
        let output = parse("output", &self.output, longest_extension)?;
        let records = parse("records", &self.records, records::LONGEST_NAME)?;
        if !records.same_store(&output) {
            return Err("records and output are not in the same store".to_owned());
        }
        for format in OutputFormat::ALL {
            if self.source == self.output_in(*format) {
                return Err(format!("the transcript in {format} would replace the source"));
            }
        }
        let id = id_of(&self.batch, &self.source, &self.output);
        if self.id != id {
            return Err(format!("id is {:?}, batch, source and output give {id:?}", self.id));
        }
        self.options.check()
    }

    /// Where the transcript goes in `format`.
    pub fn output_in(&self, format: OutputFormat) -> String {
        format!("{}.{format}", self.output)
    }

    pub fn to_vec(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a job holds nothing JSON lacks")
    }
}

impl Options {
    /// The error says what no worker would accept.
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
        if self.hotwords.len() > MAX_HOTWORDS {
            let count = self.hotwords.len();
            return Err(format!("{count} hotwords, the limit is {MAX_HOTWORDS}"));
        }
        if let Some(word) = self.hotwords.iter().find(|word| !is_hotword(word)) {
            return Err(format!(
                "hotword {word:?} is empty, longer than {MAX_HOTWORD_CHARACTERS} characters, or \
                 holds control characters"
            ));
        }
        self.speakers.map_or(Ok(()), Speakers::check)
    }
}

fn is_hotword(word: &str) -> bool {
    !word.trim().is_empty()
        && word.chars().count() <= MAX_HOTWORD_CHARACTERS
        && !word.contains(char::is_control)
}

impl Speakers {
    fn check(self) -> Result<(), String> {
        let Self { count, min, max } = self;
        if [count, min, max].into_iter().flatten().any(|n| !(1..=MAX_SPEAKERS).contains(&n)) {
            return Err(format!("numbers of speakers go from 1 to {MAX_SPEAKERS}"));
        }
        if count.is_some() && (min.is_some() || max.is_some()) {
            return Err("speakers: `count` leaves nothing to `min` and `max`".to_owned());
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("at least {min} and at most {max} speakers contradict each other"));
        }
        Ok(())
    }
}

fn id_of(batch: &BatchId, source: &str, output: &str) -> String {
    // No URI holds a NUL, so different jobs never hash the same bytes.
    let digest = Sha256::digest([batch.as_str(), source, output].join("\0"));
    hex::encode(&digest[..16])
}
