//! The loop: lease, fetch, transcribe, put, acknowledge; retries by kind, drain on SIGTERM.
//!
//! [`Transcriber`] takes one recording from store to store, for the worker and for the command line
//! alike; [`Worker`] feeds it from a queue.

mod failure;
mod outcome;
mod pool;
mod transcriber;
mod worker;

pub use failure::failure_of;
pub use outcome::{DoneRecord, FailedRecord, RunningRecord};
pub use pool::ComputePool;
pub use transcriber::{Assignment, Completed, Transcriber, Transcription};
pub use worker::{Options, Summary, Worker};
