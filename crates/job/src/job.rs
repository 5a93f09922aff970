//! The message in the job queue.

use location::Location;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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

const SOURCE_PATTERN: &str =
    r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///|[hH][tT][tT][pP][sS]?://)[^\u0000]";

/// One recording to transcribe: the message in the job queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub version: u32,
    /// The first 32 hexadecimal digits of the SHA-256 of batch, source and output, joined by NUL
    /// characters. The same batch, source and output give the same id, so a second submission does
    /// not create a second job.
    #[schemars(regex(pattern = r"^[0-9a-f]{32}$"))]
    pub id: String,
    /// A UUID of version 7.
    pub batch: BatchId,
    /// The recording: `s3://bucket/key`, where the key is taken literally, `file:///path`, percent-encoded, or
    /// a URL of `https` or `http`, which may be presigned. Its user, password and query are repeated nowhere.
    #[schemars(with = "String", regex(pattern = SOURCE_PATTERN))]
    pub source: SourceUri,
    /// URI of the transcript without the extension that each format adds:
    /// `s3://bucket/prefix/a/b.wav` becomes `s3://bucket/prefix/a/b.wav.json`.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub output: String,
    /// Prefix of the batch's records, in the same store as the output.
    #[schemars(regex(pattern = r"^(s3://[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/|file:///)[^\u0000]"))]
    pub records: String,
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
    /// Creates a job and computes its id. Does not check the job: see [`Job::validate`].
    pub fn new(
        batch: BatchId,
        source: impl Into<SourceUri>,
        output: String,
        records: String,
        options: JobOptions,
    ) -> Self {
        let source = source.into();
        let id = id_of(&batch, &source, &output);
        let version = SCHEMA_VERSION;
        Self { version, id, batch, source, output, records, options, fresh: false }
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
        let strict_json::Object(job) =
            serde_json::from_str::<strict_json::Object<Self>>(json).map_err(malformed)?;
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
        let records = parse("records", &self.records, records::MAX_NAME_BYTES)?;
        if matches!(output, Location::Http(_)) {
            return Err(format!("output {output}: nothing can be written to a URL"));
        }
        if !records.same_store(&output) {
            return Err("records and output are not in the same store".to_owned());
        }
        if !self.has_records_above_output() {
            return Err(format!(
                "records is not <prefix>/.scriptorium/{}, where the output is below <prefix>",
                self.batch
            ));
        }
        for format in Format::ALL {
            if self.source.reveal() == self.output_in(format) || self.is_subtitle_of_output(format)
            {
                return Err(format!("the transcript in {format} would replace the source"));
            }
        }
        let id = id_of(&self.batch, &self.source, &self.output);
        if self.id != id {
            return Err(format!("id is {:?}, but batch, source and output give {id:?}", self.id));
        }
        self.options.check()
    }

    /// Whether the records are where [`records_prefix`] places them, so that a message cannot write
    /// them anywhere else.
    fn has_records_above_output(&self) -> bool {
        let Some(prefix) = self.records.strip_suffix(&records_prefix("", &self.batch)) else {
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

fn id_of(batch: &BatchId, source: &SourceUri, output: &str) -> String {
    // No URI contains a NUL, so different jobs never hash the same bytes.
    let digest = Sha256::digest([batch.as_str(), source.reveal(), output].join("\0"));
    hex::encode(&digest[..16])
}
