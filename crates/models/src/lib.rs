//! The catalogue of known models; pulling, verifying and opening model directories.
//!
//! A [`Catalogue`] says which files make a model and where they are to be had; a [`Library`] is the
//! directory on this machine that holds the models pulled so far. Every file is known by its
//! SHA-256, so it never matters which source it came from, nor whether a transfer was resumed; where
//! the catalogue knows none, the first pull pins it. [`inspect`] says what any directory holds.

mod catalogue;
mod digest;
mod directory;
mod error;
mod family;
mod fetch;
mod http;
mod inspect;
mod library;
mod onnx;
mod pins;
mod plausible;
mod preset;
mod pull;
mod source;
#[cfg(test)]
mod tests;
mod wheel;
mod yaml;

pub use catalogue::{Catalogue, Entry, FileEntry};
pub use directory::ModelDirectory;
pub use error::Error;
pub use family::{Family, Layout, Precision, Role, Variant};
pub use inspect::{Inspection, ModelFile, Problem, inspect};
pub use library::Library;
pub use pins::Pin;
pub use preset::Preset;
pub use pull::{PullProgress, PullSettings, Pulled};
pub use source::{FileSource, HubPath, Mirrors, WheelPath};

/// What recognizes when nothing else is asked for.
pub const DEFAULT_RECOGNIZER: &str = "whisper-tiny.en";
/// What finds speech when nothing else is asked for.
pub const DEFAULT_VAD: &str = "fsmn-vad";
