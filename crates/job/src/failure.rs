use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InvalidRecord, records, words::words};

/// Why a job did not become a transcript: for the dead-letter queue, the error record, the logs and
/// the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub code: FailureCode,
    /// The recording, as given.
    // Spelled raw, since thiserror would take a plain `source` for the error beneath.
    pub r#source: String,
    /// A sentence that names the cause.
    pub message: String,
}

impl Failure {
    /// Reads the record of a failed job.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        records::read(bytes)
    }

    pub fn to_vec(&self) -> Vec<u8> {
        records::write(self)
    }
}

/// What the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Worth another try later.
    Transient,
    /// Will not get better by itself: dead letter.
    Permanent,
    /// Shutdown: back to the queue, not counted.
    Interrupted,
}

/// The documented error codes (docs/jobs.md lists cause and remedy of each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    JobInvalid,
    SourceMissing,
    SourceDenied,
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
    OutputDenied,
    OutputUnavailable,
    OutputFull,
    WorkerLost,
    Interrupted,
    Internal,
}

words!(FailureCode, "failure code", {
    JobInvalid => "job_invalid",
    SourceMissing => "source_missing",
    SourceDenied => "source_denied",
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
    OutputDenied => "output_denied",
    OutputUnavailable => "output_unavailable",
    OutputFull => "output_full",
    WorkerLost => "worker_lost",
    Interrupted => "interrupted",
    Internal => "internal",
});

impl FailureCode {
    pub fn kind(self) -> FailureKind {
        match self {
            Self::SourceUnavailable
            | Self::SourceChanged
            | Self::OutputUnavailable
            | Self::OutputFull
            // Workers of one queue may be in the middle of getting the model, and to find out costs
            // nothing.
            | Self::ModelUnavailable
            // Another try tells a bad worker from a bad job.
            | Self::Internal => FailureKind::Transient,
            Self::Interrupted => FailureKind::Interrupted,
            Self::JobInvalid
            | Self::SourceMissing
            | Self::SourceDenied
            | Self::SourceTooLarge
            | Self::AudioEmpty
            | Self::AudioUnrecognized
            | Self::AudioNoTrack
            | Self::AudioUnsupported
            | Self::AudioCorrupt
            | Self::AudioTruncated
            | Self::AudioTooLong
            | Self::OutputDenied
            | Self::WorkerLost => FailureKind::Permanent,
        }
    }

    /// What brings it about, one sentence.
    pub fn cause(self) -> &'static str {
        match self {
            Self::JobInvalid => "The message is not a job that this version understands.",
            Self::SourceMissing => "There is no object or file by that name.",
            Self::SourceDenied => "The worker may not read the recording.",
            Self::SourceChanged => "The recording was replaced while it was read.",
            Self::SourceUnavailable => "The store of the recordings does not answer.",
            Self::SourceTooLarge => "The recording has more bytes than the worker's limit.",
            Self::AudioEmpty => "The file is empty or holds no sample of audio.",
            Self::AudioUnrecognized => "The content is in no audio or video format known here.",
            Self::AudioNoTrack => "The file is a video or container without an audio track.",
            Self::AudioUnsupported => "The format is known, its codec or layout is not supported.",
            Self::AudioCorrupt => "The audio is damaged beyond what a decoder can skip.",
            Self::AudioTruncated => "The file ends long before its header says.",
            Self::AudioTooLong => "The recording is longer than the worker's limit.",
            Self::ModelUnavailable => "The worker has not loaded the model that the job names.",
            Self::OutputDenied => "The worker may not write where the transcript goes.",
            Self::OutputUnavailable => "The store of the transcripts does not answer.",
            Self::OutputFull => "The disk, or the quota of the store, is full.",
            Self::WorkerLost => "Worker after worker was lost while it held the job.",
            Self::Interrupted => "The worker was told to stop before the job was done.",
            Self::Internal => "A fault of the program.",
        }
    }

    /// What a person can do about it, one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::JobInvalid => "Compare the message with the job's schema and submit it anew.",
            Self::SourceMissing => "Check the name, or upload the recording, and submit it anew.",
            Self::SourceDenied => "Let the worker's account read the recording and submit it anew.",
            Self::SourceChanged => "Submit recordings only once they are completely uploaded.",
            Self::SourceUnavailable => "Check the store and the worker's way to it.",
            Self::SourceTooLarge => "Split the recording, or raise the limit of bytes.",
            Self::AudioEmpty => "Check that the recorder or the upload wrote the file.",
            Self::AudioUnrecognized => "Check that it is a recording, or convert it to FLAC.",
            Self::AudioNoTrack => "Check the export of the video; there is nothing to transcribe.",
            Self::AudioUnsupported => "Convert the recording to FLAC and submit it anew.",
            Self::AudioCorrupt => "Fetch the recording from its origin anew, or repair it.",
            Self::AudioTruncated => "Upload the recording again, completely.",
            Self::AudioTooLong => "Split the recording, or raise the limit of duration.",
            Self::ModelUnavailable => "Name a model that the workers have, or add it to them.",
            Self::OutputDenied => "Let the worker's account write under the output.",
            Self::OutputUnavailable => "Check the store and the worker's way to it.",
            Self::OutputFull => "Make room or raise the quota.",
            Self::WorkerLost => "Look for what ended them (memory, crashes); submit it anew.",
            Self::Interrupted => "None is needed: another worker takes the job up.",
            Self::Internal => "Report it, with the worker's log and the recording if you may.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_words_of_the_schema() {
        let schema = schemars::schema_for!(FailureCode).to_value();
        let words: Vec<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(schema["enum"], serde_json::json!(words));
    }

    #[test]
    fn a_failure_reads_back() -> Result<(), InvalidRecord> {
        for &code in FailureCode::ALL {
            let failure = Failure {
                code,
                source: "s3://calls/a\n\"b\".wav".to_owned(),
                message: "it went wrong".to_owned(),
            };
            assert_eq!(Failure::from_slice(&failure.to_vec())?, failure);
            assert_eq!(failure.to_string(), format!("{code}: it went wrong"));
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert!(
            Failure::from_slice(br#"{"code": "bad_luck", "source": "", "message": ""}"#).is_err()
        );
        Ok(())
    }
}
