//! What the networks have to compute for a channel, and what they answer.

use half::f16;
use serde::{Deserialize, Serialize};

use super::{
    chunks::encode,
    frames::{CHUNK_FRAMES, Span},
};
use crate::bits;

/// Work for a network, in any order, on any thread.
#[derive(Debug)]
pub enum Work {
    /// Chunks, for the segmentation network.
    Chunks {
        key: WorkKey,
        /// All samples of the chunks: they overlap.
        samples: Vec<f32>,
        /// Frames from the beginning of one chunk to that of the next.
        step: u32,
    },
    /// Windows, for the encoder.
    Windows { key: WorkKey, windows: Vec<Vec<f32>> },
}

/// What the result of a piece of work depends on, besides the recording and the models.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkKey {
    /// Numbers of the chunks, and the frames that the recording has from the first of them on.
    Chunks { first: u32, count: u32, frames: u32 },
    /// Number of the first window, and their frames.
    Windows { first: u32, spans: Vec<Span> },
}

/// Result of a piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkResult {
    Chunks {
        /// As `chunks::encode` returns them.
        #[serde(with = "bits::of_bytes")]
        frames: Vec<u8>,
    },
    Windows {
        width: usize,
        /// One unit vector after the other.
        #[serde(with = "bits::of_halves")]
        vectors: Vec<f16>,
    },
}

impl Work {
    pub fn key(&self) -> &WorkKey {
        match self {
            Self::Chunks { key, .. } | Self::Windows { key, .. } => key,
        }
    }
}

impl WorkKey {
    /// Returns whether a result has the form that this work has.
    pub(crate) fn fits(&self, result: &WorkResult) -> bool {
        match (self, result) {
            (Self::Chunks { count, .. }, WorkResult::Chunks { frames }) => {
                frames.len() == *count as usize * CHUNK_FRAMES
            }
            (Self::Windows { spans, .. }, WorkResult::Windows { width, vectors }) => {
                *width > 0 && vectors.len() == spans.len() * width
            }
            _ => false,
        }
    }
}

/// Encodes the answer of the segmentation network for the work with this key.
pub(super) fn chunks_result(key: &WorkKey, log_probabilities: &[f32], step: u32) -> WorkResult {
    let end = match key {
        WorkKey::Chunks { frames, .. } => *frames,
        WorkKey::Windows { .. } => 0,
    };
    WorkResult::Chunks { frames: encode(log_probabilities, step, end) }
}
