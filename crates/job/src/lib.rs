//! Jobs, batches, their records, and failures: schema, validation, identity, limits.
//!
//! This crate does not know how jobs travel (queue) or where records are stored (store).
//!
//! ```
//! use job::{BatchId, Format, Job, JobOptions, records_prefix};
//!
//! let batch = BatchId::generate();
//! let job = Job::new(
//!     batch.clone(),
//!     "s3://recordings/calls/0042.wav".to_owned(),
//!     "s3://transcripts/2026/calls/0042.wav".to_owned(),
//!     records_prefix("s3://transcripts/2026", &batch),
//!     JobOptions { formats: [Format::Srt].into(), ..JobOptions::default() },
//! );
//! job.validate()?;
//!
//! let message = job.to_vec();
//! assert_eq!(Job::from_slice(&message)?, job);
//! # Ok::<(), job::InvalidJob>(())
//! ```

mod batch;
mod event;
mod failure;
mod job;
mod manifest;
mod options;
mod output_name;
mod records;
mod source_uri;
mod strict_json;
mod string_enum;
mod submission;
mod upload;
mod watch;

pub use batch::{Batch, BatchId};
pub use event::{
    BatchCompleted, BatchSubmitted, EndedJob, Event, JobCancelled, JobDone, JobFailed, Work,
};
pub use failure::{Failure, FailureCode, FailureKind};
pub use formats::Format;
pub use job::{InvalidJob, Job, MAX_JOB_BYTES, SCHEMA_VERSION, json_schema};
pub use manifest::{
    Entry, InvalidRow, MAX_ROW_BYTES, ManifestError, ManifestFormat, ManifestReader, Row,
};
pub use options::{
    ChannelMode, JobOptions, MAX_HOTWORD_CHARACTERS, MAX_HOTWORDS, MAX_PROMPT_CHARACTERS,
    MAX_SPEAKERS, Speakers, Task,
};
pub use output_name::{OutputName, output_below, shortened_for, stem};
pub use records::{
    BatchEnd, Delivery, Done, Failed, InvalidRecord, Notification, RECORDS_VERSION, Running,
    WebhookRecord, records_prefix,
};
pub use source_uri::SourceUri;
pub use submission::{
    Cursor, Input, ManifestJob, PartEnd, Place, Published, Selected, Submission, SubmissionCounts,
};
pub use upload::{InvalidNotification, MAX_NOTIFICATION_BYTES, Upload};
pub use watch::{InvalidWatch, MAX_WATCH_BYTES, Watch};
