//! Speech recognition: features, voice activity detection, recognizers, and the pipeline that turns
//! 16 kHz PCM into the segments of a transcript.
//!
//! [`pipeline::Pipeline`] is the entry point. A model family implements [`recognizer::Recognizer`].

pub mod compute;
pub mod features;
pub mod itn;
pub mod paraformer;
pub mod parakeet;
pub mod pipeline;
pub mod punctuation;
pub mod recognizer;
pub mod segmenter;
pub mod sensevoice;
pub mod speakers;
pub mod vad;
pub mod whisper;

mod bits;
#[cfg(any(test, feature = "test-util"))]
mod fake_recognizer;
mod files;
#[cfg(test)]
mod fixtures;
mod funasr;
#[cfg(test)]
#[path = "../../../tests/support/npz.rs"]
mod npz;
mod speech_rate;
mod timed_pieces;
#[cfg(feature = "test-util")]
pub mod untrusted;
mod window;
