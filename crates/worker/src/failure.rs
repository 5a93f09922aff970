//! What went wrong in any room, in the words of the job protocol.

use std::io;

use job::{Failure, FailureCode};
use speech::{pipeline, recognizer};

/// Says which failure of the recording `source` an error of the pipeline is.
pub fn failure_of(error: &pipeline::Error, source: &str) -> Failure {
    match error {
        pipeline::Error::Audio(error) => audio_failure(error, source),
        pipeline::Error::Recognizer(
            error @ (recognizer::Error::UnknownLanguage(_) | recognizer::Error::Hotword { .. }),
        ) => failure(FailureCode::JobInvalid, source, error),
        // Other workers of the queue may have what is missing here, or may get it.
        pipeline::Error::Unsupported(_) => failure(FailureCode::ModelUnavailable, source, error),
        pipeline::Error::Interrupted => failure(FailureCode::Interrupted, source, error),
        _ => failure(FailureCode::Internal, source, error),
    }
}

pub(crate) fn failure(code: FailureCode, source: &str, message: impl std::fmt::Display) -> Failure {
    Failure { code, source: source.to_owned(), message: message.to_string() }
}

pub(crate) fn audio_failure(error: &audio::Error, source: &str) -> Failure {
    let code = match error {
        audio::Error::Empty => FailureCode::AudioEmpty,
        audio::Error::Unrecognized(_) => FailureCode::AudioUnrecognized,
        audio::Error::NoAudioTrack { .. } => FailureCode::AudioNoTrack,
        audio::Error::UnsupportedCodec { .. } => FailureCode::AudioUnsupported,
        audio::Error::Truncated { .. } => FailureCode::AudioTruncated,
        audio::Error::LimitExceeded { .. } => FailureCode::AudioTooLong,
        audio::Error::Read(error) => return read_failure(error, source),
        // `Corrupt`, and what a later version of the crate may add.
        _ => FailureCode::AudioCorrupt,
    };
    failure(code, source, error)
}

/// The source's bytes could not be read: the store's own error is inside.
fn read_failure(error: &io::Error, source: &str) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<store::Error>());
    inner.map_or_else(
        || failure(FailureCode::SourceUnavailable, source, error),
        |inner| source_failure(inner, source),
    )
}

/// An error met while reading the recording.
pub(crate) fn source_failure(error: &store::Error, source: &str) -> Failure {
    let code = match error.kind {
        store::ErrorKind::NotFound => FailureCode::SourceMissing,
        store::ErrorKind::Denied => FailureCode::SourceDenied,
        store::ErrorKind::Changed => FailureCode::SourceChanged,
        store::ErrorKind::TooLarge => FailureCode::SourceTooLarge,
        store::ErrorKind::Invalid => FailureCode::JobInvalid,
        _ => FailureCode::SourceUnavailable,
    };
    failure(code, source, format_args!("{error:#}"))
}

/// An error met while writing (or looking at) the transcript.
pub(crate) fn output_failure(error: &store::Error, source: &str) -> Failure {
    let code = match error.kind {
        // A bucket that is not there is as final as one that may not be written to.
        store::ErrorKind::NotFound | store::ErrorKind::Denied => FailureCode::OutputDenied,
        store::ErrorKind::Full => FailureCode::OutputFull,
        store::ErrorKind::Invalid | store::ErrorKind::TooLarge => FailureCode::JobInvalid,
        _ => FailureCode::OutputUnavailable,
    };
    failure(code, source, format_args!("{error:#}"))
}
