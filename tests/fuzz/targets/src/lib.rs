//! What the fuzzers call: one function per target, which takes any bytes and panics if the code that reads
//! them is at fault. The fuzzers themselves are in `tests/fuzz`; `tests/replay.rs` calls the same functions
//! with the inputs that are kept.

#[cfg(feature = "audio")]
mod audio;
#[cfg(feature = "messages")]
mod job;
#[cfg(feature = "messages")]
mod location;
#[cfg(feature = "messages")]
mod transcript;

#[cfg(feature = "audio")]
pub use self::audio::audio;
#[cfg(feature = "messages")]
pub use self::{
    job::{job, manifest_csv, manifest_json, upload},
    location::location,
    transcript::transcript,
};
