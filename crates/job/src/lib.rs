//! What a job, a batch and a failure are: schema, validation, identity, limits.
//!
//! How they travel (queue) and where they are kept (store) is not this crate's business.

mod batch;
mod failure;
mod job;
mod records;
mod strict;
mod words;

pub use batch::{Batch, BatchId};
pub use failure::{Failure, FailureCode, FailureKind};
pub use job::{
    ChannelMode, InvalidJob, Job, MAX_HOTWORD_CHARACTERS, MAX_HOTWORDS, MAX_JOB_BYTES,
    MAX_SPEAKERS, Options, OutputFormat, SCHEMA_VERSION, Speakers, json_schema,
};
pub use records::{Done, Failed, InvalidRecord, Records, Running};
