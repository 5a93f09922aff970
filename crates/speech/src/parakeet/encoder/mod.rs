//! The encoder of Parakeet (FastConformer, Rekesh et al. 2023), built from the weights of an ONNX
//! file.
//!
//! tract runs float files of a fixed length, too, but with generic operators between the linear
//! layers, with masks, and with all products of positions in memory. Here, `graph` and `read` find
//! the layers by the paths between them, and `build` packs their weights into the engine's
//! operators.

mod build;
mod graph;
mod read;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, path::Path};

use engine::{ComputeType, Network, OnnxFile, Precision};

use self::build::Builder;
use crate::{
    files::{broken, not_loaded},
    recognizer::Error,
};

/// Frames of features per output.
const SUBSAMPLING: usize = 8;
/// Most outputs of a run: 32 s, which is more than the longest segment and the silence around it.
/// Attention costs the square of this, and the positions are in memory.
const MAX_ROWS: usize = 400;

/// An encoder, shared by all threads.
pub(super) struct Encoder {
    network: Network,
    mels: usize,
    width: usize,
    max_rows: usize,
    /// Whether the file masks frames after the length of its input between the convolutions.
    masked: bool,
}

impl Encoder {
    /// Opens the encoder of a file of floats in `precision`; layers that the file quantizes stay as
    /// they are. Attention and the subsampling compute in f32 or, unless `precision` is f32, in bfloat16
    /// where the CPU multiplies that; depthwise convolutions in f32.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is another network, or damaged.
    pub(super) fn open(file: &OnnxFile, precision: Precision) -> Result<Self, Error> {
        let path = file.path();
        let plan = read::read(file).map_err(|what| {
            broken(path, format!("is not an encoder of Parakeet that is supported: {what}"))
        })?;
        if plan.stages.len() + 1 != SUBSAMPLING.ilog2() as usize {
            return Err(broken(path, "its encoder has not an output every 8 frames"));
        }
        let table = file.constant(plan.positions).map_or(0, |table| table.shape()[1]);
        let max_rows = MAX_ROWS.min(table / 2 + 1);
        let compute_type = match precision {
            Precision::F32 => ComputeType::F32,
            Precision::Bf16 | Precision::Int8 => ComputeType::fastest(),
        };
        let buffer = RefCell::default();
        let network = Builder { file, precision, compute_type, max_rows, buffer }.network(&plan);
        OnnxFile::free_buffers();
        let network = network.map_err(|error| match error {
            Error::Engine(error) => not_loaded(path, error),
            error => error,
        })?;
        let (mels, width, masked) = (plan.mels, plan.width, plan.masked);
        let encoder = Self { network, mels, width, max_rows, masked };
        encoder.probe(path)?;
        Ok(encoder)
    }

    /// Runs the encoder once: damaged weights may give values that are not finite.
    fn probe(&self, path: &Path) -> Result<(), Error> {
        let outputs = self.run(&vec![0.1; 2 * SUBSAMPLING * self.mels])?;
        if outputs.iter().any(|value| !value.is_finite()) {
            return Err(broken(path, "is damaged; download it again"));
        }
        Ok(())
    }

    /// Returns the number of mel bins of a frame of features.
    pub(super) fn mels(&self) -> usize {
        self.mels
    }

    /// Returns the length of an output.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of frames of the longest input.
    pub(super) fn max_frames(&self) -> usize {
        self.max_rows * SUBSAMPLING
    }

    /// Encodes normalized features, `[frames, mels]`: `[frames / 8, width]`, rounded up.
    ///
    /// # Errors
    /// [`Error::Network`] for more than [`Self::max_frames`].
    pub(super) fn run(&self, features: &[f32]) -> Result<Vec<f32>, Error> {
        let mut frames = features.len() / self.mels;
        if frames > self.max_frames() {
            return Err(Error::Network(format!(
                "{frames} frames of 10 ms are more than the {} that the model takes at once",
                self.max_frames()
            )));
        }
        if frames == 0 {
            return Ok(Vec::new());
        }
        // With one frame of zeros after the last, the masks of the file would mask nothing, and it
        // computes what it does with the length of the recording: the convolutions see that frame.
        // If the number of frames is a multiple of 8, the outputs end before it.
        let features = if self.masked || frames.is_multiple_of(SUBSAMPLING) {
            engine::tensor(&[frames, self.mels], features)?
        } else {
            frames += 1;
            let padded = [features, &vec![0.0; self.mels]].concat();
            engine::tensor(&[frames, self.mels], &padded)?
        };
        let outputs = self.network.run(vec![features])?;
        let output =
            outputs.first().ok_or_else(|| Error::Network("it has no output".to_owned()))?;
        Ok(engine::values::<f32>(output)?.to_vec())
    }
}
