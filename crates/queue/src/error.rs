//! Errors of all queues.

use std::{error, fmt};

use errors::Chain;

/// A failed queue operation: what failed, of which kind the failure is, and its cause.
///
/// `{error}` prints what failed; `{error:#}` adds the causes, joined by ": ".
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Source>,
}

type Source = Box<dyn error::Error + Send + Sync>;

/// Kinds of failure, by what a caller can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The broker cannot be reached or closed the connection; a retry may succeed.
    Unavailable,
    /// The password is wrong, or the user may not use the virtual host or the queue.
    Denied,
    /// The broker could not route the message to a queue.
    Unroutable,
    /// The broker refused the message, e.g. because the queue is full.
    Refused,
    /// The connection that held the lease is lost; the broker delivers the message again.
    LeaseLost,
    /// A queue exists with properties other than configured.
    Mismatch,
    /// Invalid arguments, and failures of no other kind.
    Other,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns whether the same operation may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Refused | ErrorKind::LeaseLost)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return write!(f, "{}", Chain(self));
        }
        f.write_str(&self.context)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alternate_form_prints_the_causes() {
        let cause = Error::new(ErrorKind::Other, "opening a channel").with_source("timed out");
        let error = Error::new(ErrorKind::Unavailable, "publishing").with_source(cause);
        assert_eq!(error.to_string(), "publishing");
        assert_eq!(format!("{error:#}"), "publishing: opening a channel: timed out");
    }
}
