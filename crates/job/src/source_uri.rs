//! URIs of recordings, which may contain secrets.

use std::{borrow::Cow, fmt};

use location::Location;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// URI of a recording. It prints without what may be secret in a URL, user, password and query, so that logs,
/// records, events and errors do not have it; only the message of the job does. It is serialized as a whole.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SourceUri(String);

impl SourceUri {
    /// Returns the complete URI, with its secrets: for whoever reads the recording, or identifies it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the URI as it may be shown and recorded.
    pub fn shown(&self) -> Cow<'_, str> {
        location::shown(&self.0)
    }

    /// Returns the location.
    ///
    /// # Errors
    ///
    /// As the parser of [`Location`].
    pub fn location(&self) -> Result<Location, location::Error> {
        self.0.parse()
    }
}

impl<T: Into<String>> From<T> for SourceUri {
    fn from(uri: T) -> Self {
        Self(uri.into())
    }
}

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_whole_and_nothing_else_does() -> Result<(), serde_json::Error> {
        let text = "https://ann:pw@a.org/talk.mp3?X-Amz-Signature=s3cret";
        let uri = SourceUri::from(text);
        assert_eq!(
            format!("{uri} {uri:?}"),
            r#"https://a.org/talk.mp3?… "https://a.org/talk.mp3?…""#
        );
        assert_eq!(serde_json::to_value(&uri)?, text);
        assert_eq!(serde_json::from_value::<SourceUri>(text.into())?, uri);
        assert_eq!(uri.location().map(|location| location.to_uri()).ok().as_deref(), Some(text));
        assert_eq!(SourceUri::from("s3://b/a?b").to_string(), "s3://b/a?b");
        Ok(())
    }
}
