//! Errors of decoding.

use std::{error, fmt, io};

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
    /// There is no audio track with this number or in this language.
    #[error("no audio track `{wanted}`; the tracks are: {available}")]
    NoSuchTrack { wanted: String, available: String },
    /// A known format or codec that cannot be decoded here.
    #[error("cannot decode {codec}{fallback}")]
    UnsupportedCodec { codec: String, fallback: FallbackOutcome },
    #[error("cannot decode encrypted audio ({scheme})")]
    Encrypted { scheme: String },
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
    /// The program could not be run or talked to.
    #[error("cannot run {program}")]
    Program { program: String, source: io::Error },
    /// The copy of the recording in which FFmpeg seeks could not be written.
    #[error("cannot copy the recording for ffmpeg")]
    Spool(#[source] io::Error),
}

/// Why FFmpeg did not help with a codec that is not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FallbackOutcome {
    /// It was not tried.
    NotTried,
    Off,
    NotInstalled,
    /// It failed, too; what it said.
    Failed(String),
}

impl fmt::Display for FallbackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => Ok(()),
            Self::Off => f.write_str(" without ffmpeg, and audio.fallback is off"),
            Self::NotInstalled => f.write_str(" without ffmpeg, which is not installed"),
            Self::Failed(said) => write!(f, "; {said}"),
        }
    }
}

/// Reason of the error for an MP4 file that was cut off before its index.
const MISSING_INDEX: &str = "an MP4 file without its index (moov): the recording was not finished, or \
                             the file was cut off";

impl Error {
    pub(crate) fn unsupported(codec: impl Into<String>) -> Self {
        Self::UnsupportedCodec { codec: codec.into(), fallback: FallbackOutcome::NotTried }
    }

    pub(crate) fn missing_index() -> Self {
        Self::corrupt(MISSING_INDEX)
    }

    /// Returns whether nobody can read the recording, because its index is missing.
    pub(crate) fn is_missing_index(&self) -> bool {
        matches!(self, Self::Corrupt { reason, .. } if reason == MISSING_INDEX)
    }

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
            // The decoder behind a pipe reports its own error through the reader of the pipe.
            Failure::Read(e) => e.downcast().unwrap_or_else(Error::Read),
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
