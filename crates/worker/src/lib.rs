//! Transcribes recordings from store to store, and serves jobs from a queue.
//!
//! [`Transcriber`] reads one recording, runs the pipeline and writes the transcript, for the worker
//! and for the command line. [`Worker`] leases jobs, hands them to it, and settles the leases:
//! retries by kind of failure, drain on request. [`ComputePool`] is the set of cores that all
//! recordings in flight share.

mod admission;
mod allowed;
mod announcer;
mod breaker;
mod capabilities;
mod config;
mod controls;
pub mod convert;
pub mod events;
mod failure;
mod gate;
mod job;
mod leases;
mod memory;
mod pool;
mod presets;
mod recording;
mod registry;
mod tally;
mod transcriber;
mod voices;
mod watch;
mod worker;

pub use self::{
    admission::MemoryState,
    allowed::{InvalidPrefix, url_patterns},
    announcer::{Announcements, CONTENT_TYPE, CloudEvent},
    config::{LaneShares, WorkerConfig},
    failure::{failure_of, output_failure, source_failure},
    job::{
        other_name,
        output::{write_file, write_rendering},
    },
    pool::ComputePool,
    recording::SeekableObject,
    transcriber::{Completed, Transcriber, Transcription, TranscriptionRequest, interruptible},
    voices::{VoicesError, read_voices},
    worker::{Summary, Worker},
};

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Returns the current time in RFC 3339, UTC, to the second.
fn now() -> String {
    rfc3339(time::OffsetDateTime::now_utc())
}

/// Returns a time in RFC 3339, to the second.
fn rfc3339(time: time::OffsetDateTime) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    time.replace_nanosecond(0).unwrap_or(time).format(format).unwrap_or_default()
}

/// Locks a mutex. No code of this crate panics while it holds one, so that a poisoned lock still guards a
/// consistent state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Delays that double from `min` to `max`, without end. Jitter, because all workers of a fleet wait for
/// the same store.
pub fn delays(min: Duration, max: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(min)
        .with_max_delay(max)
        .with_jitter()
        .without_max_times()
        .build()
}
