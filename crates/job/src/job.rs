//! The message in the job queue.

use location::Location;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    BatchId, Format, JobOptions, SourceUri, output_name, records, records_prefix, strict_json,
};

/// Version of the job message.
pub const SCHEMA_VERSION: u32 = 1;
/// Address of the schema, by which others may refer to it.
const SCHEMA_ID: &str = "https://raw.githubusercontent.com/scriptorium-asr/scriptorium/main/docs/schemas/job.v1.schema.json";
/// Limit in bytes for a job message. A larger message is refused without being parsed.
pub const MAX_JOB_BYTES: usize = 64 * 1024;
/// Limit for the characters of a job's id.
const MAX_ID_LEN: usize = 128;
/// Stands for the batch of a job without one in the prefix of its records. No batch has this name.
const WITHOUT_BATCH: &str = "_";

const SOURCE_PATTERN: &str =
    r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///|[hH][tT][tT][pP][sS]?://)[^\u0000]";

/// One recording to transcribe: the message in the job queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub version: u32,
    /// The submitter's name for the job, which logs, events and records of failures repeat: 1 to 128
    /// letters, digits and characters of `._:@/+=~-`, the first of which is a letter or digit. Need not be
    /// unique: jobs are told apart by batch, source and output. If absent, their key: the first 32
    /// hexadecimal digits of the SHA-256 of batch (empty if absent), source and output, joined by NUL
    /// characters.
    #[serde(default, deserialize_with = "given_id")]
    #[schemars(schema_with = "id_schema")]
    pub id: String,
    /// Jobs that are counted, paused and cancelled together. Without a batch, the job leaves no records.
    #[serde(
        default,
        deserialize_with = "strict_json::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "BatchId")]
    pub batch: Option<BatchId>,
    /// The recording: `s3://bucket/key`, where the key is taken literally, `file:///path`, percent-encoded, or
    /// a URL of `https` or `http`, which may be presigned. Its user, password and query are repeated nowhere.
    #[schemars(with = "String", regex(pattern = SOURCE_PATTERN))]
    pub source: SourceUri,
    /// URI of the transcript without the extension that each format adds:
    /// `s3://bucket/prefix/a/b.wav` becomes `s3://bucket/prefix/a/b.wav.json`.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub output: String,
    /// Prefix of the batch's records: `<prefix>/.scriptorium/<batch>`, where the output is below
    /// `<prefix>`. If absent, `<prefix>` is the folder of the output. Needs `batch`.
    #[serde(
        default,
        deserialize_with = "strict_json::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        with = "String",
        regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]")
    )]
    pub records: Option<String>,
    #[serde(default, deserialize_with = "strict_json::object")]
    pub options: JobOptions,
    /// Whether there was neither a transcript of the recording nor the record of a failure next to
    /// `output` when the job was submitted. The first run does not look for them then, which saves
    /// half of the requests that a short recording costs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// Reason why bytes are not a job that this version understands. It is permanent: a retry fails,
/// too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJob {
    #[error("job message has {actual} bytes, the limit is {MAX_JOB_BYTES}")]
    TooLarge { actual: usize },
    #[error("job message is not valid: {0}")]
    Malformed(String),
    #[error("job message has version {0}, this worker understands {SCHEMA_VERSION}")]
    UnknownVersion(String),
}

/// Returns the JSON Schema (draft 2020-12) of a job message, which is published in
/// `docs/schemas/job.v1.schema.json`. [`Job::from_slice`] refuses everything that the schema
/// refuses.
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Job);
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    schema.to_value()
}

impl Job {
    /// Creates a job of a batch, whose id is its key. Does not check the job: see [`Job::validate`].
    pub fn new(
        batch: BatchId,
        source: impl Into<SourceUri>,
        output: String,
        records: String,
        options: JobOptions,
    ) -> Self {
        let source = source.into();
        let id = key_of(Some(&batch), &source, &output);
        let (version, batch, records) = (SCHEMA_VERSION, Some(batch), Some(records));
        Self { version, id, batch, source, output, records, options, fresh: false }
    }

    /// Returns what tells the job from all others: 32 hexadecimal digits that follow from batch, source
    /// and output. Names of records have it in place of the id, which anybody may choose.
    pub fn key(&self) -> String {
        key_of(self.batch.as_ref(), &self.source, &self.output)
    }

    /// Returns the prefix of the batch's records. That of a job without a batch has only what is deleted
    /// when the job ends.
    pub fn records_prefix(&self) -> String {
        if let Some(records) = &self.records {
            return records.clone();
        }
        let output = Location::parse_object(&self.output, 0).ok();
        let folder = output
            .and_then(|output| output.parent())
            .map_or_else(|| self.output.clone(), |folder| folder.to_string());
        let batch = self.batch.as_ref().map_or(WITHOUT_BATCH, BatchId::as_str);
        records::prefix_of(&folder, batch)
    }

    /// Parses and validates a message. The version is checked first, so a message of another
    /// version is reported as such, whatever it contains.
    ///
    /// # Errors
    ///
    /// [`InvalidJob`], with the reason.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidJob> {
        if bytes.len() > MAX_JOB_BYTES {
            return Err(InvalidJob::TooLarge { actual: bytes.len() });
        }
        let malformed = |error: serde_json::Error| InvalidJob::Malformed(error.to_string());
        let json = std::str::from_utf8(bytes)
            .map_err(|error| InvalidJob::Malformed(format!("not UTF-8: {error}")))?;
        match strict_json::version(json).map_err(malformed)? {
            None => return Err(InvalidJob::Malformed("there is no `version`".to_owned())),
            Some(version) if version == SCHEMA_VERSION => {}
            Some(version) => {
                let version = version.to_string().chars().take(40).collect();
                return Err(InvalidJob::UnknownVersion(version));
            }
        }
        let strict_json::Object(mut job) =
            serde_json::from_str::<strict_json::Object<Self>>(json).map_err(malformed)?;
        if job.id.is_empty() {
            job.id = job.key();
        }
        job.validate()?;
        Ok(job)
    }

    /// Returns the URI of the [`crate::Failed`] next to the missing transcript:
    /// `<output>.error.json`, shortened if that is too long.
    pub fn error_record(&self) -> String {
        output_name::with_extension(&self.output, output_name::ERROR_RECORD)
    }

    /// Checks URIs, limits and identity, so that a submitter learns of errors before a worker does.
    ///
    /// # Errors
    ///
    /// [`InvalidJob`], with the reason.
    pub fn validate(&self) -> Result<(), InvalidJob> {
        if self.version != SCHEMA_VERSION {
            return Err(InvalidJob::UnknownVersion(self.version.to_string()));
        }
        self.check().map_err(InvalidJob::Malformed)?;
        let actual = self.to_vec().len();
        if actual > MAX_JOB_BYTES { Err(InvalidJob::TooLarge { actual }) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), String> {
        let parse = |name: &str, uri: &str, appended| {
            Location::parse_object(uri, appended).map_err(|error| format!("{name} {error}"))
        };
        parse("source", self.source.reveal(), 0)?;
        let output = parse("output", &self.output, output_name::TRANSCRIPT.len())?;
        let records = parse("records", &self.records_prefix(), records::MAX_NAME_BYTES)?;
        if matches!(output, Location::Http(_)) {
            return Err(format!("output {output}: nothing can be written to a URL"));
        }
        if !records.same_store(&output) {
            return Err("records and output are not in the same store".to_owned());
        }
        match (&self.batch, &self.records) {
            (None, Some(_)) => return Err("records needs a batch".to_owned()),
            (Some(batch), Some(records)) if !self.has_output_below(records, batch) => {
                return Err(format!(
                    "records is not <prefix>/.scriptorium/{batch}, where the output is below <prefix>"
                ));
            }
            _ => {}
        }
        for format in Format::ALL {
            if self.source.reveal() == self.output_in(format) || self.is_subtitle_of_output(format)
            {
                return Err(format!("the transcript in {format} would replace the source"));
            }
        }
        check_id(&self.id)?;
        self.options.check()
    }

    /// Whether the records are where [`records_prefix`] places them, so that a message cannot write
    /// them anywhere else.
    fn has_output_below(&self, records: &str, batch: &BatchId) -> bool {
        let Some(prefix) = records.strip_suffix(&records_prefix("", batch)) else {
            return false;
        };
        prefix.ends_with('/')
            && (self.output.starts_with(prefix) || prefix.strip_suffix('/') == Some(&self.output))
    }

    /// Returns the URI of the transcript in `format`, shortened if that is too long; without a language
    /// in the names of subtitles.
    pub fn output_in(&self, format: Format) -> String {
        output_name::with_extension(&self.output, &format!(".{}", format.extension()))
    }

    /// Whether the source has the name of a subtitle of the output with a language, which
    /// [`JobOptions::language_suffix`] asks for.
    fn is_subtitle_of_output(&self, format: Format) -> bool {
        let source = self.source.reveal();
        let rest = source.strip_prefix(&self.output).and_then(|rest| rest.strip_prefix('.'));
        let extension = format!(".{}", format.extension());
        let language = rest.and_then(|rest| rest.strip_suffix(&extension));
        language.is_some_and(|language| !language.contains(['/', '.']))
    }

    /// Returns the job as a message.
    pub fn to_vec(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("every job can be represented in JSON")
    }
}

fn key_of(batch: Option<&BatchId>, source: &SourceUri, output: &str) -> String {
    // No URI contains a NUL, so different jobs never hash the same bytes.
    let batch = batch.map_or("", BatchId::as_str);
    let digest = Sha256::digest([batch, source.reveal(), output].join("\0"));
    hex::encode(&digest[..16])
}

/// Checks an id that a submitter chose. Nobody can do harm with it in a log or on a command line; it is
/// never a part of the name of an object.
fn check_id(id: &str) -> Result<(), String> {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:@/+=~-".contains(byte);
    let begins_well = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && id.len() <= MAX_ID_LEN && id.as_bytes().iter().all(is_allowed) {
        return Ok(());
    }
    Err(format!(
        "id {:?} is not 1 to {MAX_ID_LEN} letters, digits and characters of ._:@/+=~- that begin with a \
         letter or digit",
        id.chars().take(MAX_ID_LEN + 1).collect::<String>()
    ))
}

fn given_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    check_id(&id).map_err(serde::de::Error::custom)?;
    Ok(id)
}

fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9._:@/+=~-]{0,127}$",
    })
}
