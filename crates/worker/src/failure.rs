//! Maps errors of all crates to the failures of the job protocol.

use std::{error::Error, io};

use errors::Chain;
use job::{Failure, FailureCode};
use speech::{pipeline, recognizer};

/// Returns the failure of the recording `source` that an error of the pipeline stands for.
pub fn failure_of(error: &pipeline::Error, source: &(impl ToString + ?Sized)) -> Failure {
    let code = match error {
        pipeline::Error::Audio(error) => return audio_failure(error, source),
        pipeline::Error::Recognizer(
            recognizer::Error::UnknownLanguage { .. } | recognizer::Error::Hotword { .. },
        ) => FailureCode::OptionUnsupported,
        // Transient: other workers of the queue may have the model, or may get it.
        pipeline::Error::Unsupported(_) => FailureCode::ModelUnavailable,
        pipeline::Error::Voices(_) => FailureCode::VoicesUnusable,
        pipeline::Error::Interrupted => FailureCode::Interrupted,
        _ => FailureCode::Internal,
    };
    caused(code, source, error)
}

/// Makes a failure with a message of its own.
pub(crate) fn failure(
    code: FailureCode,
    source: &(impl ToString + ?Sized),
    message: impl Into<String>,
) -> Failure {
    Failure { code, source: source.to_string(), message: message.into() }
}

/// Makes a failure whose message is the error and the chain of its causes.
pub(crate) fn caused(
    code: FailureCode,
    source: &(impl ToString + ?Sized),
    error: &(dyn Error + 'static),
) -> Failure {
    failure(code, source, Chain(error).to_string())
}

pub(crate) fn audio_failure(error: &audio::Error, source: &(impl ToString + ?Sized)) -> Failure {
    let code = match error {
        audio::Error::Empty => FailureCode::AudioEmpty,
        audio::Error::Unrecognized(_) => FailureCode::AudioUnrecognized,
        audio::Error::NoAudioTrack { .. } | audio::Error::NoSuchTrack { .. } => {
            FailureCode::AudioNoTrack
        }
        audio::Error::UnsupportedCodec { .. } | audio::Error::Encrypted { .. } => {
            FailureCode::AudioUnsupported
        }
        // The recording is not to blame; another worker may have a disk with space.
        audio::Error::Spool(_) => FailureCode::OutputFull,
        audio::Error::Program { .. } => FailureCode::Internal,
        audio::Error::Truncated { .. } => FailureCode::AudioTruncated,
        audio::Error::LimitExceeded { .. } => FailureCode::AudioTooLong,
        audio::Error::Read(error) => return read_failure(error, source),
        // `Corrupt`, and kinds that a later version of the crate may add.
        _ => FailureCode::AudioCorrupt,
    };
    caused(code, source, error)
}

/// Returns the failure for bytes of the recording that could not be read. An error of the store is
/// inside of the I/O error.
fn read_failure(error: &io::Error, source: &(impl ToString + ?Sized)) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<store::Error>());
    inner.map_or_else(
        || caused(FailureCode::SourceUnavailable, source, error),
        |inner| source_failure(inner, source),
    )
}

/// Returns the failure for an error of the store while the recording is looked for or read.
pub fn source_failure(error: &store::Error, source: &(impl ToString + ?Sized)) -> Failure {
    let code = match error.kind {
        store::ErrorKind::NotFound => FailureCode::SourceMissing,
        store::ErrorKind::Denied => FailureCode::SourceDenied,
        store::ErrorKind::NotAllowed => FailureCode::SourceNotAllowed,
        store::ErrorKind::Expired => FailureCode::SourceExpired,
        // That of the recording's copy on this machine.
        store::ErrorKind::Full => FailureCode::OutputFull,
        store::ErrorKind::Changed => FailureCode::SourceChanged,
        store::ErrorKind::TooLarge => FailureCode::SourceTooLarge,
        store::ErrorKind::Misconfigured => FailureCode::StoreMisconfigured,
        store::ErrorKind::Archived => FailureCode::SourceArchived,
        store::ErrorKind::Invalid => FailureCode::SourceInvalid,
        _ => FailureCode::SourceUnavailable,
    };
    store_failure(code, source, error)
}

/// Returns the failure for an error of the store while the transcript or a record is read or
/// written.
pub fn output_failure(error: &store::Error, source: &(impl ToString + ?Sized)) -> Failure {
    let code = match error.kind {
        // A missing bucket is as permanent as a denied one.
        store::ErrorKind::NotFound | store::ErrorKind::Denied => FailureCode::OutputDenied,
        store::ErrorKind::Full => FailureCode::OutputFull,
        store::ErrorKind::Misconfigured => FailureCode::StoreMisconfigured,
        store::ErrorKind::Invalid | store::ErrorKind::TooLarge => FailureCode::OutputInvalid,
        _ => FailureCode::OutputUnavailable,
    };
    store_failure(code, source, error)
}

/// Makes a failure whose message is the error of the store and its causes, without control
/// characters.
pub(crate) fn store_failure(
    code: FailureCode,
    source: &(impl ToString + ?Sized),
    error: &store::Error,
) -> Failure {
    failure(code, source, format!("{error:#}"))
}
