//! Whisper, from model directories in CTranslate2's format.
//!
//! `weights` reads `model.bin`; `network` builds and runs encoder and decoder; the rest turns audio
//! into mel frames and logits into text.

pub mod network;
pub mod weights;
