//! The catalogue of known models; pulling, verifying, converting and opening model directories.
//!
//! A [`Catalogue`] lists the files of each model and their sources. A [`Library`] is the directory on
//! this machine that holds the models pulled so far. A file is identified by its SHA-256, so it does
//! not matter which source it came from or whether a transfer was resumed; where the catalogue has no
//! checksum, the first pull pins one. [`inspect()`] describes any directory, and [`convert()`] makes
//! an ONNX file of a PyTorch checkpoint.

mod catalogue;
mod convert;
mod digest;
mod directory;
mod error;
mod family;
mod inspect;
mod library;
mod licence;
mod onnx;
mod pins;
mod preset;
mod pull;
mod remove;
mod source;
#[cfg(test)]
mod tests;
mod yaml;

pub use catalogue::{Catalogue, Entry, FileEntry, Measured, Measurement};
pub use convert::{ConvertError, convert};
pub use directory::ModelDirectory;
pub use error::Error;
pub use family::{Family, Layout, Role, Variant, WeightFormat};
pub use inspect::{Inspection, ModelFile, Problem, inspect};
pub use library::Library;
pub use pins::Pin;
pub use preset::Preset;
pub use pull::{PullOptions, PullProgress, Pulled};
pub use source::{AddressError, FileSource, HubPath, Mirrors, WheelPath};

/// Name of the default recognizer.
pub const DEFAULT_RECOGNIZER: &str = "whisper-base";
/// Name of the default VAD model.
pub const DEFAULT_VAD: &str = "fsmn-vad";
/// Name of the speaker model for recognizers whose preset has none.
pub const DEFAULT_SPEAKERS: &str = "campplus";
/// Name of the model that says when how many speak, beside any speaker model.
pub const DEFAULT_SPEAKER_SEGMENTATION: &str = "pyannote-segmentation-3.0";
