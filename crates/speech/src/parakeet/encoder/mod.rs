//! The encoder: features to one vector for every eight frames.

use engine::{OnnxFile, Precision};

use crate::{files::broken, recognizer::Error};

/// The encoder of a model.
pub(super) struct Encoder {
    never: std::convert::Infallible,
}

impl Encoder {
    /// Reads the encoder from the graph of a file, by structure.
    pub(super) fn open(file: &OnnxFile, _: Precision) -> Result<Self, Error> {
        Err(broken(file.path(), "this build has no encoder for Parakeet"))
    }

    /// Returns the number of features of a frame.
    pub(super) fn mels(&self) -> usize {
        match self.never {}
    }

    /// Returns the number of values of an output frame.
    pub(super) fn width(&self) -> usize {
        match self.never {}
    }

    /// Returns the longest input, in frames of features.
    pub(super) fn max_frames(&self) -> usize {
        match self.never {}
    }

    /// Computes `[frames.div_ceil(8), width]` from features `[frames, mels]`.
    pub(super) fn run(&self, _: &[f32]) -> Result<Vec<f32>, Error> {
        match self.never {}
    }
}
