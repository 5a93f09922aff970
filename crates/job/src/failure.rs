//! Failures of jobs: codes, kinds, causes and remedies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::string_enum::string_enum;

/// Reason why a job has no transcript, for the dead-letter queue, the error record, the logs and
/// the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub code: FailureCode,
    /// URI or path of the recording, as given, but without what may be secret in a URL.
    // A raw identifier, because thiserror would treat a field named `source` as the error's source.
    pub r#source: String,
    /// Cause of the failure.
    pub message: String,
}

/// Kind of a failure. It decides how the worker settles the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A later attempt may succeed: retry after a delay.
    Transient,
    /// Every attempt fails in the same way: dead letter.
    Permanent,
    /// A store does not answer: retry later, without counting the attempt.
    Dependency,
    /// The fault of this worker, and not of the job: another worker may do it.
    Worker,
    /// The worker shut down: release, without counting the attempt.
    Interrupted,
}

/// Code of a failure. docs/jobs.md lists the cause and the remedy of each code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    JobInvalid,
    OptionUnsupported,
    SourceNotAllowed,
    SourceMissing,
    SourceDenied,
    SourceExpired,
    SourceInvalid,
    SourceArchived,
    SourceChanged,
    SourceUnavailable,
    SourceTooLarge,
    AudioEmpty,
    AudioUnrecognized,
    AudioNoTrack,
    AudioUnsupported,
    AudioCorrupt,
    AudioTruncated,
    AudioTooLong,
    ModelUnavailable,
    VoicesUnusable,
    OutputNotAllowed,
    OutputOccupied,
    OutputDenied,
    OutputInvalid,
    OutputUnavailable,
    OutputFull,
    StoreMisconfigured,
    WorkerLost,
    Interrupted,
    Internal,
}

string_enum!(FailureCode, "failure code", {
    JobInvalid => "job_invalid",
    OptionUnsupported => "option_unsupported",
    SourceNotAllowed => "source_not_allowed",
    SourceMissing => "source_missing",
    SourceDenied => "source_denied",
    SourceExpired => "source_expired",
    SourceInvalid => "source_invalid",
    SourceArchived => "source_archived",
    SourceChanged => "source_changed",
    SourceUnavailable => "source_unavailable",
    SourceTooLarge => "source_too_large",
    AudioEmpty => "audio_empty",
    AudioUnrecognized => "audio_unrecognized",
    AudioNoTrack => "audio_no_track",
    AudioUnsupported => "audio_unsupported",
    AudioCorrupt => "audio_corrupt",
    AudioTruncated => "audio_truncated",
    AudioTooLong => "audio_too_long",
    ModelUnavailable => "model_unavailable",
    VoicesUnusable => "voices_unusable",
    OutputNotAllowed => "output_not_allowed",
    OutputOccupied => "output_occupied",
    OutputDenied => "output_denied",
    OutputInvalid => "output_invalid",
    OutputUnavailable => "output_unavailable",
    OutputFull => "output_full",
    StoreMisconfigured => "store_misconfigured",
    WorkerLost => "worker_lost",
    Interrupted => "interrupted",
    Internal => "internal",
});

impl FailureCode {
    /// Returns the kind of the failure.
    pub fn kind(self) -> FailureKind {
        match self {
            Self::SourceChanged
            // Other workers of the queue may be installing the model, and an attempt without it
            // costs nothing.
            | Self::ModelUnavailable
            // Another attempt distinguishes a broken worker from a broken job.
            | Self::Internal => FailureKind::Transient,
            Self::SourceUnavailable | Self::OutputUnavailable => FailureKind::Dependency,
            Self::StoreMisconfigured | Self::OutputFull => FailureKind::Worker,
            Self::Interrupted => FailureKind::Interrupted,
            Self::JobInvalid
            | Self::OptionUnsupported
            | Self::SourceNotAllowed
            | Self::SourceMissing
            | Self::SourceDenied
            | Self::SourceExpired
            | Self::SourceInvalid
            | Self::SourceArchived
            | Self::SourceTooLarge
            | Self::AudioEmpty
            | Self::AudioUnrecognized
            | Self::AudioNoTrack
            | Self::AudioUnsupported
            | Self::AudioCorrupt
            | Self::AudioTruncated
            | Self::AudioTooLong
            | Self::VoicesUnusable
            | Self::OutputNotAllowed
            | Self::OutputOccupied
            | Self::OutputDenied
            | Self::OutputInvalid
            | Self::WorkerLost => FailureKind::Permanent,
        }
    }

    /// Returns the cause, one sentence.
    pub fn cause(self) -> &'static str {
        match self {
            Self::JobInvalid => "The message is not a job that this version understands.",
            Self::OptionUnsupported => {
                "The model does not know the language, or cannot use a hotword."
            }
            Self::SourceNotAllowed => "The workers may not read recordings there.",
            Self::SourceMissing => "There is no object or file of that name.",
            Self::SourceDenied => "The worker has no permission to read the recording.",
            Self::SourceExpired => "The presigned URL of the recording has expired.",
            Self::SourceInvalid => {
                "The store cannot work with the name of the recording, or it is not a file."
            }
            Self::SourceArchived => {
                "The recording is in an archive storage class (such as Glacier), where it cannot be read."
            }
            Self::SourceChanged => "The recording was replaced while the worker read it.",
            Self::SourceUnavailable => "The store of the recordings does not answer.",
            Self::SourceTooLarge => "The recording has more bytes than the worker's limit.",
            Self::AudioEmpty => "The file is empty or contains no audio samples.",
            Self::AudioUnrecognized => "The content is not in a known audio or video format.",
            Self::AudioNoTrack => "The file is a video or container without an audio track.",
            Self::AudioUnsupported => {
                "The format is known, but its codec or layout is not supported, or it is encrypted."
            }
            Self::AudioCorrupt => {
                "The audio is damaged, and the decoder cannot skip the damaged part."
            }
            Self::AudioTruncated => "The file ends long before the end that its header promises.",
            Self::AudioTooLong => "The recording is longer than the worker's limit.",
            Self::ModelUnavailable => "The worker has not loaded the model that the job names.",
            Self::VoicesUnusable => {
                "The voice prints cannot be read, are damaged, or were made with another speaker model."
            }
            Self::OutputNotAllowed => "The workers may not write transcripts or records there.",
            Self::OutputOccupied => {
                "Another recording's transcript, or a file that is no transcript, has the transcript's name."
            }
            Self::OutputDenied => "The worker has no permission to write the transcript.",
            Self::OutputInvalid => {
                "The store cannot work with the name of the transcript, or a file is where its folder would be."
            }
            Self::OutputUnavailable => "The store of the transcripts does not answer.",
            Self::OutputFull => "The disk is full, or the quota of the store is used up.",
            Self::StoreMisconfigured => {
                "The store refuses this process: its credentials, clock, region or endpoint is wrong."
            }
            Self::WorkerLost => "Several workers in a row were lost while they ran the job alone.",
            Self::Interrupted => "The worker was stopped before the job was done.",
            Self::Internal => "A bug in the program.",
        }
    }

    /// Returns what a person can do about it, one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::JobInvalid => "Compare the message with the schema of jobs and submit it again.",
            Self::OptionUnsupported => {
                "Choose another model or another value of the option, as the message says."
            }
            Self::SourceNotAllowed => {
                "Submit a recording below a prefix of worker.sources, or add its prefix there."
            }
            Self::SourceMissing => "Check the name, or upload the recording, and submit it again.",
            Self::SourceDenied => {
                "Allow the worker's account to read the recording and submit it again."
            }
            Self::SourceExpired => "Submit the recording with a new URL that is valid for longer.",
            Self::SourceInvalid => "Rename the recording, or name a file, and submit it again.",
            Self::SourceArchived => {
                "Restore the object from the archive first, wait until it is restored, and submit it again."
            }
            Self::SourceChanged => "Submit recordings only after they are completely uploaded.",
            Self::SourceUnavailable => "Check the store and the worker's connection to it.",
            Self::SourceTooLarge => "Split the recording, or raise the limit for bytes.",
            Self::AudioEmpty => "Check that the recorder or the upload wrote the file.",
            Self::AudioUnrecognized => "Check that it is a recording, or convert it to FLAC.",
            Self::AudioNoTrack => "Check the export of the video; there is nothing to transcribe.",
            Self::AudioUnsupported => {
                "Install ffmpeg beside the workers, or convert the recording to FLAC, and submit it \
                 again."
            }
            Self::AudioCorrupt => "Fetch the recording from its origin again, or repair it.",
            Self::AudioTruncated => "Upload the recording again, completely.",
            Self::AudioTooLong => "Split the recording, or raise the limit for the duration.",
            Self::ModelUnavailable => {
                "Name a model that the workers have loaded, or configure them to load it."
            }
            Self::VoicesUnusable => {
                "Correct `speakers.voices`, or enroll the voices again with the workers' speaker model."
            }
            Self::OutputNotAllowed => {
                "Choose an output below a prefix of worker.outputs, or add its prefix there."
            }
            Self::OutputOccupied => "Choose another output, or move the file away.",
            Self::OutputDenied => "Allow the worker's account to write under the output.",
            Self::OutputInvalid => {
                "Choose another output, or shorten or rename what the message names."
            }
            Self::OutputUnavailable => "Check the store and the worker's connection to it.",
            Self::OutputFull => "Free some space or raise the quota.",
            Self::StoreMisconfigured => {
                "Renew the credentials, or correct the clock or the section store.s3."
            }
            Self::WorkerLost => {
                "Find out what ended them (memory, crashes), and submit the job again."
            }
            Self::Interrupted => "Nothing to do: another worker takes the job.",
            Self::Internal => {
                "Report it with the worker's log, and with the recording if you may share it."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_strings_of_the_schema() {
        let schema = schemars::schema_for!(FailureCode).to_value();
        let codes: Vec<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(schema["enum"], serde_json::json!(codes));
    }

    #[test]
    fn a_failure_is_read_back() -> Result<(), serde_json::Error> {
        for &code in FailureCode::ALL {
            let failure = Failure {
                code,
                source: "s3://calls/a\n\"b\".wav".to_owned(),
                message: "it failed".to_owned(),
            };
            let json = serde_json::to_vec(&failure)?;
            assert_eq!(serde_json::from_slice::<Failure>(&json)?, failure);
            assert_eq!(failure.to_string(), format!("{code}: it failed"));
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        let unknown = r#"{"code": "bad_luck", "source": "", "message": ""}"#;
        assert!(serde_json::from_str::<Failure>(unknown).is_err());
        Ok(())
    }
}
