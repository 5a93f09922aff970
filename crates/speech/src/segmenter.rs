//! From a stream of PCM to segments of speech no longer than a recognizer takes.

/// A stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Sample index (16 kHz) in the recording where it starts.
    pub start: u64,
    pub samples: Vec<f32>,
}
