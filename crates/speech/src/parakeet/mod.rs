//! Parakeet-TDT. A placeholder: the recognizer comes from another branch.

#[allow(dead_code, reason = "the recognizer is not here yet")]
mod encoder;

use std::path::Path;

use crate::{
    files::broken,
    recognizer::{Description, Error, Precision, Recognition, RecognizeOptions, Recognizer},
};

/// A Parakeet-TDT model.
pub struct Parakeet {
    description: Description,
}

impl Parakeet {
    /// Refuses every directory.
    ///
    /// # Errors
    /// [`Error::Model`], always.
    pub fn open(
        directory: &Path,
        _name: &str,
        _precision: Option<Precision>,
    ) -> Result<Self, Error> {
        Err(broken(directory, "this build has no recognizer for it"))
    }

    /// Runs the encoder.
    ///
    /// # Errors
    /// [`Error::Network`], always.
    #[doc(hidden)]
    pub fn encode(&self, _samples: &[f32]) -> Result<Vec<f32>, Error> {
        Err(Error::Network("a placeholder".into()))
    }

    /// Runs steps of the decoder.
    ///
    /// # Errors
    /// [`Error::Network`], always.
    #[doc(hidden)]
    pub fn decode_steps(&self, _encoded: &[f32], _steps: usize) -> Result<(), Error> {
        Err(Error::Network("a placeholder".into()))
    }
}

impl Recognizer for Parakeet {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        30.0
    }

    fn fixed_window(&self) -> bool {
        false
    }

    fn punctuates(&self, _normalize: bool) -> bool {
        true
    }

    fn recognize(&self, _: &[f32], _: &RecognizeOptions) -> Result<Recognition, Error> {
        Err(Error::Network("a placeholder".into()))
    }
}
