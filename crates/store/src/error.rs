use std::io;

use crate::text::printable;

/// A failed operation on one object. The message says what happened and, where the user can do
/// something about it, what; it never holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {}: {message}", printable(uri))]
pub struct Error {
    pub kind: Kind,
    pub operation: &'static str,
    pub uri: String,
    pub message: String,
}

/// What went wrong, as far as the caller's next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    NotFound,
    Denied,
    /// The object is not the one that was opened.
    Changed,
    /// A conditional write met an object (or another object) in its place.
    Precondition,
    TooLarge,
    /// The disk, or the quota, is full.
    Full,
    /// Not a URI, a key or a configuration that this store can work with.
    Invalid,
    /// The store cannot be reached, is overloaded, or broke off: worth another try.
    Unavailable,
    Other,
}

impl Error {
    pub fn new(
        kind: Kind,
        operation: &'static str,
        uri: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation, uri: uri.into(), message: message.into() }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Changed | Kind::Full)
    }
}

impl From<location::Error> for Error {
    fn from(error: location::Error) -> Self {
        Self::new(Kind::Invalid, "name", error.text, error.kind.to_string())
    }
}

/// For code that only knows `std::io`, decoders above all. The [`Error`] is kept inside:
/// `io_error.get_ref()` and `downcast_ref::<store::Error>()` bring it back.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        // Never `Interrupted` or `UnexpectedEof`: decoders take these for "again" and for the end.
        let kind = match error.kind {
            Kind::NotFound => io::ErrorKind::NotFound,
            Kind::Denied => io::ErrorKind::PermissionDenied,
            Kind::Full => io::ErrorKind::StorageFull,
            Kind::Invalid => io::ErrorKind::InvalidInput,
            Kind::Unavailable => io::ErrorKind::TimedOut,
            Kind::Changed | Kind::Precondition | Kind::TooLarge | Kind::Other => {
                io::ErrorKind::Other
            }
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_forge_a_line_of_the_log() {
        let error = Error::new(Kind::NotFound, "read", "s3://b/a\nERROR \u{1b}[31m é", "gone");
        assert_eq!(error.to_string(), "read s3://b/a\\nERROR \\u{1b}[31m é: gone");
    }

    #[test]
    fn an_io_error_keeps_the_store_error() {
        let error = Error::new(Kind::Changed, "read", "s3://b/a", "changed");
        let io: io::Error = error.clone().into();
        let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert_eq!(inner, Some(&error));
    }
}
