//! From 16 kHz PCM to words: features, voice activity, recognizers, and the pipeline that joins them.

pub mod compute;
pub mod features;
pub mod itn;
pub mod paraformer;
pub mod pipeline;
pub mod punctuation;
pub mod recognizer;
pub mod segmenter;
pub mod sensevoice;
pub mod speakers;
pub mod vad;
pub mod whisper;

mod files;
#[cfg(test)]
mod fixtures;
mod funasr;
#[cfg(test)]
#[path = "../../../tests/support/npz.rs"]
mod npz;
mod window;
