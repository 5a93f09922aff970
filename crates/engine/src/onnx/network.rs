//! Networks that were cut from an ONNX file.

use tract_onnx::prelude::*;

use crate::{error::Error, runner::Runner};

/// A network that was cut from an [`OnnxFile`](super::OnnxFile). One instance serves all threads.
#[derive(Debug)]
pub struct OnnxNetwork {
    runner: Runner,
}

impl OnnxNetwork {
    pub(super) fn new(model: TypedModel) -> TractResult<Self> {
        Ok(Self { runner: Runner::new(model)? })
    }

    /// Runs the network on this thread. Inputs and outputs have the order in which they were named
    /// when the network was cut.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Run`] if number, types or shapes of the inputs do not fit.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.runner.run(inputs)
    }

    /// Returns the names of the operators in order, without inputs and constants.
    #[cfg(test)]
    pub(super) fn operators(&self) -> Vec<String> {
        self.runner.operators()
    }
}
