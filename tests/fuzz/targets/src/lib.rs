//! What the fuzzers call: one function per target, which takes any bytes and panics if the code that reads
//! them is at fault. The fuzzers themselves are in `tests/fuzz`; `tests/replay.rs` calls the same functions
//! with the inputs that are kept.

#[cfg(feature = "audio")]
mod audio;
#[cfg(feature = "messages")]
mod job;
#[cfg(feature = "messages")]
mod location;
#[cfg(feature = "models")]
mod models;
#[cfg(feature = "store")]
mod records;
#[cfg(feature = "messages")]
mod transcript;

#[cfg(feature = "audio")]
pub use self::audio::audio;
#[cfg(feature = "models")]
pub use self::models::{grammar, model_directory, model_files, onnx, pickle, protobuf, window};
#[cfg(feature = "store")]
pub use self::records::{checkpoint, headers, records};
#[cfg(feature = "messages")]
pub use self::{
    job::{job, manifest_csv, manifest_json, upload},
    location::location,
    transcript::transcript,
};
