//! The catalogue of known models; pulling, verifying and opening model directories.

mod catalogue;
mod error;
mod library;

pub use catalogue::{Catalogue, Entry, Family, FileEntry, FileSource};
pub use error::Error;
pub use library::{Library, ModelDirectory, PullProgress};

/// What recognizes when nothing else is asked for.
pub const DEFAULT_RECOGNIZER: &str = "whisper-tiny.en";
/// What finds speech when nothing else is asked for.
pub const DEFAULT_VAD: &str = "fsmn-vad";
