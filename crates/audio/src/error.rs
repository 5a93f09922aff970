//! Errors of decoding.

use std::{error, io};

use crate::source::Failure;

/// Why a recording could not be decoded. All errors but [`Error::Read`] are permanent: the same
/// bytes fail again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing, or a header and not one sample of audio that is to be heard.
    #[error("no audio: the file is empty or contains no samples")]
    Empty,
    /// Not a recording, or one in a format that no demuxer knows; describes the content.
    #[error("not a recording in a known format: {0}")]
    Unrecognized(String),
    #[error("no audio track in this {container} file")]
    NoAudioTrack { container: String },
    #[error("cannot decode {codec}")]
    UnsupportedCodec { codec: String },
    #[error("corrupt: {reason}")]
    Corrupt {
        reason: String,
        /// The demuxer's, decoder's or resampler's error.
        #[source]
        source: Option<Box<dyn error::Error + Send + Sync>>,
    },
    /// The file ends long before its header says, both in seconds.
    #[error("truncated: the header declares {declared:.1} s, the file contains {decoded:.1} s")]
    Truncated { declared: f64, decoded: f64 },
    #[error("{quantity} is {actual}, the limit is {limit}")]
    LimitExceeded { quantity: &'static str, actual: String, limit: String },
    /// The source of the bytes failed. Its error may contain a typed cause (`io::Error::get_ref`).
    #[error("read failed")]
    Read(#[source] io::Error),
}

impl Error {
    pub(crate) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt { reason: reason.into(), source: None }
    }

    pub(crate) fn corrupt_by(
        reason: impl Into<String>,
        source: impl error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Corrupt { reason: reason.into(), source: Some(Box::new(source)) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Read(e) => Error::Read(e),
            Failure::ElementTooLong { limit } => Error::corrupt(format!(
                "a packet or the header has more than {limit} bytes, the limit"
            )),
            Failure::TooLong { actual, limit } => Error::LimitExceeded {
                quantity: "the size",
                actual: actual.map_or("more".into(), |len| format!("{len} bytes")),
                limit: format!("{limit} bytes"),
            },
        }
    }
}
