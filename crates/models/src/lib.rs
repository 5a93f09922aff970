//! The catalogue of known models; pulling, verifying and opening model directories.
//!
//! A [`Catalogue`] says which files make a model and where they are to be had; a [`Library`] is the
//! directory on this machine that holds the models pulled so far. Every file is known by its
//! SHA-256, so it never matters which source it came from, nor whether a transfer was resumed.

mod catalogue;
mod digest;
mod directory;
mod error;
mod fetch;
mod http;
mod library;
mod pull;
mod wheel;

pub use catalogue::{Catalogue, Entry, Family, FileEntry, FileSource, WheelPath};
pub use directory::ModelDirectory;
pub use error::Error;
pub use library::Library;
pub use pull::{PullProgress, PullSettings};

/// What recognizes when nothing else is asked for.
pub const DEFAULT_RECOGNIZER: &str = "whisper-tiny.en";
/// What finds speech when nothing else is asked for.
pub const DEFAULT_VAD: &str = "fsmn-vad";
