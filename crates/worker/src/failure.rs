//! What went wrong in any room, in the words of the job protocol.

use std::io;

use job::{Failure, FailureCode};
use speech::{Chain, pipeline, recognizer};

/// Says which failure of the recording `source` an error of the pipeline is.
pub fn failure_of(error: &pipeline::Error, source: &str) -> Failure {
    match error {
        pipeline::Error::Audio(error) => audio_failure(error, source),
        pipeline::Error::Recognizer(
            error @ (recognizer::Error::UnknownLanguage(_) | recognizer::Error::Hotword { .. }),
        ) => failure(FailureCode::JobInvalid, source, Chain(error)),
        // Other workers of the queue may have what is missing here, or may get it.
        pipeline::Error::Unsupported(_) => {
            failure(FailureCode::ModelUnavailable, source, Chain(error))
        }
        pipeline::Error::Interrupted => failure(FailureCode::Interrupted, source, Chain(error)),
        _ => failure(FailureCode::Internal, source, Chain(error)),
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
        store::Kind::NotFound => FailureCode::SourceMissing,
        store::Kind::Denied => FailureCode::SourceDenied,
        store::Kind::Changed => FailureCode::SourceChanged,
        store::Kind::TooLarge => FailureCode::SourceTooLarge,
        store::Kind::Invalid => FailureCode::JobInvalid,
        _ => FailureCode::SourceUnavailable,
    };
    failure(code, source, error)
}

/// An error met while writing (or looking at) the transcript.
pub(crate) fn output_failure(error: &store::Error, source: &str) -> Failure {
    let code = match error.kind {
        // A bucket that is not there is as final as one that may not be written to.
        store::Kind::NotFound | store::Kind::Denied => FailureCode::OutputDenied,
        store::Kind::Full => FailureCode::OutputFull,
        store::Kind::Invalid | store::Kind::TooLarge => FailureCode::JobInvalid,
        _ => FailureCode::OutputUnavailable,
    };
    failure(code, source, error)
}
