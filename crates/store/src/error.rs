//! The error of every store: kind, context and source.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use errors::{Chain, printable};

/// A failed operation on one object.
///
/// The message names the cause and, if there is one, the remedy. `{error}` prints operation, object
/// and message; `{error:#}` adds the sources, joined by `: `, as `anyhow` does. Neither form
/// contains secrets, and neither does the debug output.
#[derive(Clone)]
pub struct Error {
    pub kind: ErrorKind,
    /// A verb, such as `read`.
    pub operation: &'static str,
    pub uri: String,
    pub message: String,
    pub(crate) source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Kind of an error, in the detail that callers need to decide how to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    Denied,
    /// The configuration of this process does not allow it.
    NotAllowed,
    /// The presigned URL has expired.
    Expired,
    /// The object is in an archive, from which it must be restored before it can be read.
    Archived,
    /// An entry that a listing leaves out.
    NotListed(NotListed),
    /// The object is not the one that was opened.
    Changed,
    /// The condition of a write does not hold: the object exists, or has another ETag.
    Precondition,
    TooLarge,
    /// The disk is full, or the quota is used up.
    Full,
    /// A URI, a key or a configuration that this store cannot work with.
    Invalid,
    /// The credentials, the clock, the region or the endpoint of this process is wrong: it can work
    /// with no object of the store.
    Misconfigured,
    /// The store cannot be reached, is overloaded, or closed the connection: a retry may succeed.
    Unavailable,
    Other,
}

/// Why a listing leaves an entry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotListed {
    /// A link to a folder: following it could list files twice, or go in circles.
    LinkedFolder,
    /// A link that leads nowhere, or in circles.
    BrokenLink,
    /// A pipe, a socket or a device.
    SpecialFile,
}

impl Error {
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        uri: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation, uri: uri.into(), message: message.into(), source: None }
    }

    /// Attaches the error that caused this one. Its debug output is never shown.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source: Box<dyn StdError + Send + Sync> = source.into();
        Self { source: Some(source.into()), ..self }
    }

    /// Whether the same call may succeed later without anybody's intervention.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Changed | ErrorKind::Full)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&printable(&Chain(self).to_string()));
        }
        write!(f, "{} {}: {}", self.operation, printable(&self.uri), printable(&self.message))
    }
}

/// Prints the source as text: the debug output of an HTTP client may contain the request, with its
/// credentials.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("text", &format!("{self:#}"))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<location::Error> for Error {
    fn from(error: location::Error) -> Self {
        Self::new(ErrorKind::Invalid, "parse", error.text, "not a valid location")
            .with_source(error.kind)
    }
}

/// For code that only knows `std::io`, such as decoders. The [`Error`] is kept inside:
/// `io_error.get_ref()` and `downcast_ref::<store::Error>()` return it.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        // Never `Interrupted` or `UnexpectedEof`: decoders would retry, or take it for the end.
        let kind = match error.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Denied
            | ErrorKind::NotAllowed
            | ErrorKind::Expired
            | ErrorKind::Archived => io::ErrorKind::PermissionDenied,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::Invalid => io::ErrorKind::InvalidInput,
            ErrorKind::Misconfigured => io::ErrorKind::PermissionDenied,
            ErrorKind::Unavailable => io::ErrorKind::TimedOut,
            ErrorKind::Changed
            | ErrorKind::NotListed(_)
            | ErrorKind::Precondition
            | ErrorKind::TooLarge
            | ErrorKind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_forge_a_log_line() {
        let error = Error::new(ErrorKind::NotFound, "read", "s3://b/a\nERROR \u{1b}[31m é", "gone");
        assert_eq!(error.to_string(), "read s3://b/a\\nERROR \\u{1b}[31m é: gone");
    }

    #[test]
    fn the_alternate_form_prints_the_sources() {
        let source = io::Error::other("disk on\nfire");
        let error =
            Error::new(ErrorKind::Other, "put", "s3://b/a", "it failed").with_source(source);
        assert_eq!(error.to_string(), "put s3://b/a: it failed");
        assert_eq!(format!("{error:#}"), "put s3://b/a: it failed: disk on\\nfire");
        let source = StdError::source(&error).and_then(|source| source.downcast_ref());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::Other));
    }

    #[test]
    fn an_invalid_location_keeps_its_reason() {
        let error = Error::from("gs://b/a".parse::<location::Location>().unwrap_err());
        assert_eq!(error.kind, ErrorKind::Invalid);
        let expected = "parse gs://b/a: not a valid location: none of s3://bucket/key, file:///path and https://host/path";
        assert_eq!(format!("{error:#}"), expected);
    }

    #[test]
    fn an_io_error_keeps_the_store_error() {
        let error = Error::new(ErrorKind::Changed, "read", "s3://b/a", "changed");
        let io: io::Error = error.clone().into();
        let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let inner = inner.map(|inner| (inner.kind, inner.to_string()));
        assert_eq!(inner, Some((ErrorKind::Changed, error.to_string())));
    }
}
