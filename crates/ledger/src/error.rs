//! The error of the ledger.

/// A record could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The record was written by another version of this program, or is damaged.
    #[error("{uri} was written by another version of scriptorium, or is damaged")]
    Invalid { uri: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// Another process writes the same records.
    #[error("{uri} exists with another content: another process continues the same submission")]
    Concurrent { uri: String },
}

impl Error {
    /// Returns whether the same call may succeed later without anybody's intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Invalid { .. } | Self::Concurrent { .. } => false,
        }
    }
}

impl From<location::Error> for Error {
    fn from(error: location::Error) -> Self {
        Self::Store(error.into())
    }
}
