//! The loop: lease, fetch, transcribe, put, acknowledge; retries by kind, drain on SIGTERM.
//!
//! [`Transcriber`] takes one recording from store to store, for the worker and for the command line
//! alike; [`Worker`] feeds it from a queue.

mod affinity;
pub mod convert;
mod failure;
mod pool;
mod transcriber;
mod worker;

pub use failure::failure_of;
pub use pool::ComputePool;
pub use transcriber::{Assignment, Completed, Transcriber, Transcription};
pub use worker::{Options, Summary, Worker};

/// RFC 3339, UTC, to the second.
fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    let format = &time::format_description::well_known::Rfc3339;
    now.replace_nanosecond(0).unwrap_or(now).format(format).unwrap_or_default()
}
