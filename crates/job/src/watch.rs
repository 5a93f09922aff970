//! Watches of batches: messages that ask workers to tell somebody when a batch is over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{BatchId, Submission, strict_json};

/// Limit in bytes for a watch. A larger one is refused without being parsed.
pub const MAX_WATCH_BYTES: usize = 16 * 1024;

/// Version of the message that this program writes and reads.
const VERSION: u32 = 1;

/// Asks for an event, and a webhook if it has a URL, when all jobs of a batch have ended. Each submission
/// of a batch has one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    #[schemars(extend("const" = VERSION))]
    pub version: u32,
    pub batch: BatchId,
    /// Id of the submission, a UUID in lower case with hyphens. Each is told once.
    #[schemars(extend("format" = "uuid"))]
    pub submission: String,
    /// Prefix of the transcripts.
    pub output: String,
    /// URL of the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// When it was published.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: OffsetDateTime,
}

/// Reason why bytes are not a valid watch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid watch: {0}")]
pub struct InvalidWatch(String);

impl Watch {
    /// Creates the watch of a submission.
    pub fn of(submission: &Submission, since: OffsetDateTime) -> Self {
        Self {
            version: VERSION,
            batch: submission.batch.clone(),
            submission: submission.id.clone(),
            output: submission.output.clone(),
            notify: submission.notify.clone(),
            since,
        }
    }

    /// Returns the id of the message, which is the same for the same submission.
    pub fn id(&self) -> String {
        format!("watch-{}", self.submission)
    }

    /// Parses and validates a message.
    ///
    /// # Errors
    ///
    /// [`InvalidWatch`], with the reason.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidWatch> {
        if bytes.len() > MAX_WATCH_BYTES {
            return Err(InvalidWatch(format!("more than {MAX_WATCH_BYTES} bytes")));
        }
        let invalid = |error: serde_json::Error| InvalidWatch(error.to_string());
        let json = std::str::from_utf8(bytes)
            .map_err(|error| InvalidWatch(format!("not UTF-8: {error}")))?;
        // The version first, so that a message of another one is reported as such.
        if strict_json::version(json).map_err(invalid)?.is_none_or(|version| version != VERSION) {
            return Err(InvalidWatch(format!("not of version {VERSION}")));
        }
        let strict_json::Object(watch) =
            serde_json::from_str::<strict_json::Object<Self>>(json).map_err(invalid)?;
        // It is a part of the name of a record.
        let canonical = uuid::Uuid::try_parse(&watch.submission)
            .is_ok_and(|uuid| uuid.hyphenated().to_string() == watch.submission);
        if canonical {
            Ok(watch)
        } else {
            Err(InvalidWatch("`submission` is not a UUID in lower case with hyphens".to_owned()))
        }
    }

    /// Returns the message.
    pub fn to_vec(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("every watch can be represented in JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;

    fn watch() -> Watch {
        let input = Input::Paths(vec!["s3://calls/".to_owned()]);
        let submission = Submission {
            notify: Some("https://hooks.example.org/".to_owned()),
            ..Submission::new(BatchId::generate(), "s3://texts/".to_owned(), input)
        };
        Watch::of(&submission, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_watch_is_read_back() {
        let mut watch = watch();
        assert_eq!(Watch::from_slice(&watch.to_vec()), Ok(watch.clone()));
        watch.notify = None;
        assert_eq!(Watch::from_slice(&watch.to_vec()), Ok(watch));
    }

    #[test]
    fn other_messages_are_refused() {
        let refused = |key: &str, value: serde_json::Value| {
            let mut json = serde_json::to_value(watch()).unwrap();
            json[key] = value;
            Watch::from_slice(json.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(refused("version", 2.into()).contains("not of version 1"));
        assert!(refused("colour", "blue".into()).contains("colour"));
        for id in ["../../x", "", "0199D2C8-3A5F-7C63-9D0E-8F1F3B0C2A11"] {
            assert!(refused("submission", id.into()).contains("`submission`"), "{id}");
        }
        assert!(refused("batch", "../x".into()).contains("batch"));
        assert!(refused("since", "yesterday".into()).contains("not a valid watch"));
        assert!(refused("notify", "x".repeat(MAX_WATCH_BYTES).into()).contains("more than"));
        for text in ["", "[]", "null", "{}", "\u{ff}"] {
            assert!(Watch::from_slice(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Watch::from_slice(b"\xff").is_err());
    }
}
