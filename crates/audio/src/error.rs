use std::io;

use crate::source::Failure;

/// Why a recording could not be turned into PCM. Every variant is permanent for the recording, save
/// [`Error::Read`], which carries what the source of the bytes said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the file is empty")]
    Empty,
    #[error("not a recording in a known format: {0}")]
    Unrecognized(String),
    #[error("no audio track in this {container} file")]
    NoAudioTrack { container: String },
    #[error("cannot decode {codec}")]
    UnsupportedCodec { codec: String },
    #[error("corrupt: {0}")]
    Corrupt(String),
    #[error("truncated: the header promises {declared:.1} s, the file holds {decoded:.1} s")]
    Truncated { declared: f64, decoded: f64 },
    #[error("{what} is {actual}, the limit is {limit}")]
    LimitExceeded { what: &'static str, actual: String, limit: String },
    /// The byte source failed; the inner error may hold a typed cause (`io::Error::get_ref`).
    #[error("read failed: {0}")]
    Read(#[source] io::Error),
}

impl Error {
    /// Whether the same bytes can never be decoded, as against a source that failed to give them.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Error::Read(_))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Read(e) => Error::Read(e),
            Failure::TooLong { actual, limit } => Error::LimitExceeded {
                what: "the size",
                actual: actual.map_or("more".into(), |len| format!("{len} bytes")),
                limit: format!("{limit} bytes"),
            },
        }
    }
}
