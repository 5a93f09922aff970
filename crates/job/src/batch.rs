//! Batches and their ids.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::{InvalidRecord, RECORDS_VERSION, records, strict_json};

/// Limit for the characters of a batch's id.
const MAX_LEN: usize = 128;

/// Name of a batch, which is a part of the names of its records: 1 to 128 letters, digits, `.`, `_` and `-`,
/// the first and the last of which are letters or digits. `submit` takes UUIDs of version 7.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct BatchId(
    #[schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$"))] String,
);

impl BatchId {
    /// Generates a new id, a UUID of version 7. Generated ids sort by the time of their generation.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().hyphenated().to_string())
    }

    /// Returns the id of a batch that is not generated: the same for the same time, to the millisecond,
    /// and the same seed.
    pub fn derived(at: time::OffsetDateTime, seed: &str) -> Self {
        let milliseconds = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let digest = Sha256::digest(seed);
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
        Self(uuid.hyphenated().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for BatchId {
    type Err = String;

    /// Accepts what is safe as the name of a folder and as a part of a key.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_alphanumeric =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let mut bytes = text.bytes();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.len() <= MAX_LEN
            && is_alphanumeric(text.bytes().next())
            && is_alphanumeric(text.bytes().next_back())
            && bytes.all(is_allowed)
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "batch id {:?} is not 1 to {MAX_LEN} letters, digits, `.`, `_` and `-` that begin and end with a \
             letter or digit",
            text.chars().take(MAX_LEN + 1).collect::<String>()
        ))
    }
}

impl<'de> Deserialize<'de> for BatchId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Record of a submission, stored as `batch.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// From 1 to [`RECORDS_VERSION`].
    pub version: u32,
    pub id: BatchId,
    /// The submitted recordings: paths, objects or prefixes.
    pub sources: Vec<String>,
    /// Prefix of the transcripts.
    pub output: String,
    /// Number of jobs, of all submissions. Absent while they are being submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// Time in RFC 3339.
    pub submitted_at: String,
}

impl Batch {
    /// Creates a batch that is submitted now, without the number of its jobs.
    pub fn new(sources: Vec<String>, output: String) -> Self {
        let now = time::OffsetDateTime::now_utc();
        Self {
            version: RECORDS_VERSION,
            id: BatchId::generate(),
            sources,
            output,
            jobs: None,
            submitted_at: now
                .format(&time::format_description::well_known::Rfc3339)
                .expect("the year has four digits"),
        }
    }

    /// Parses `batch.json`. The version is checked first.
    ///
    /// # Errors
    ///
    /// [`InvalidRecord`], with the reason.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let json = std::str::from_utf8(bytes)
            .map_err(|error| InvalidRecord(format!("not UTF-8: {error}")))?;
        let version =
            strict_json::version(json).map_err(|error| InvalidRecord(error.to_string()))?;
        let known = |version: &serde_json::Value| {
            version.as_u64().is_some_and(|version| (1..=RECORDS_VERSION.into()).contains(&version))
        };
        if !version.as_ref().is_some_and(known) {
            return Err(InvalidRecord(format!("not a batch of version 1 to {RECORDS_VERSION}")));
        }
        records::read(bytes)
    }

    /// Returns the content of `batch.json`.
    pub fn to_vec(&self) -> Vec<u8> {
        records::write(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_id_is_safe_in_names() {
        let id = BatchId::generate();
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id < BatchId::generate(), "ordered by time");
        for other in [
            "",
            ".",
            "..",
            "_",
            "-a",
            "a.",
            "a/b",
            "a\\b",
            "a b",
            "a\nb",
            "é",
            "a\0",
            "../../../../etc/passwd",
            &format!("{{{id}}}"),
            &"a".repeat(129),
        ] {
            assert!(other.parse::<BatchId>().is_err(), "{other:?}");
        }
        for good in [
            "a",
            "2026-11-26.calls_of-monday",
            "a..b",
            "01JDKZ5T9Q3V8F6W2X4Y7A1B0C",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            &id.as_str().to_uppercase(),
            &"a".repeat(128),
        ] {
            assert!(good.parse::<BatchId>().is_ok_and(|id| id.as_str() == good), "{good:?}");
        }
    }

    #[test]
    fn a_derived_id_is_the_same_for_the_same_seed() {
        let at = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let id = BatchId::derived(at, "a");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(BatchId::derived(at, "a"), id);
        assert_ne!(BatchId::derived(at, "b"), id);
        assert!(BatchId::derived(at + time::Duration::days(1), "a") > id, "ordered by time");
    }

    #[test]
    fn a_batch_is_read_back() -> Result<(), InvalidRecord> {
        let mut batch = Batch::new(vec!["s3://calls/2026".to_owned()], "s3://texts/out".to_owned());
        assert_eq!(Batch::from_slice(&batch.to_vec())?, batch);
        batch.jobs = Some(200);
        assert_eq!(Batch::from_slice(&batch.to_vec())?, batch);
        batch.version = 1;
        assert_eq!(Batch::from_slice(&batch.to_vec())?, batch);
        for version in [0, 3] {
            batch.version = version;
            let refused = Batch::from_slice(&batch.to_vec());
            assert_eq!(refused, Err(InvalidRecord("not a batch of version 1 to 2".to_owned())));
        }
        assert!(Batch::from_slice(b"[1]").is_err() && Batch::from_slice(b"\xff").is_err());
        Ok(())
    }
}
