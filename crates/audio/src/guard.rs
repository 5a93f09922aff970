//! A wall round third-party decoders.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::{Error as SymphoniaError, Result};

/// Runs a demuxer or a decoder. symphonia is safe Rust and meant never to panic, but it parses
/// what anybody has uploaded, and one bad file must not end a worker: a panic becomes an error of
/// this recording. The state that it may leave behind is not used again: the caller gives up, or
/// makes a new decoder.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(SymphoniaError::DecodeError(PANICKED)))
}

pub(crate) const PANICKED: &str = "the decoder panicked";
