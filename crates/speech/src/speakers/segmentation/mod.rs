//! pyannote's segmentation-3.0, which finds who speaks in each frame of ten seconds of sound.
//!
//! The network (Plaquet and Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker
//! diarization"; MIT, CNRS) takes a chunk of samples and returns, for each of its frames, the
//! log-probabilities of [`CLASSES`] sets of at most two of three speakers, who are numbered anew in
//! each chunk. `weights` reads it from an ONNX file, node by node (`reader`), `network` builds it from operators of `engine`.

mod array;
mod constants;
mod network;
mod reader;
mod weights;

#[cfg(test)]
mod conversion;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use engine::{Network, OnnxFile};

use self::network::Arithmetic;
use crate::{
    files::{self, broken, broken_by, not_loaded},
    recognizer::Error,
};

/// Samples of a chunk, at 16 kHz: ten seconds.
pub const CHUNK_SAMPLES: usize = 160_000;
/// Frames of a chunk.
pub const CHUNK_FRAMES: usize = 589;
/// Samples from one frame to the next. Frame `i` of a chunk is centred at sample `270 i + 495`.
pub const FRAME_SAMPLES: usize = 270;
/// Sets of speakers: nobody, A, B, C, A and B, A and C, B and C.
pub const CLASSES: usize = 7;

/// A segmentation network, shared by all recordings and threads.
pub struct SegmentationNetwork {
    network: Network,
    name: String,
    digest: String,
}

impl SegmentationNetwork {
    /// Opens a model directory that holds segmentation-3.0, or a network of the same layers, as an
    /// ONNX file (`model.onnx`, or the only `*.onnx`): the graph that PyTorch's exporter makes of it,
    /// which sherpa-onnx and others publish, and `models::convert` writes. Weights may be f32 or
    /// f16, tensors may have any names. `name` is what the model is called.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such file, or if it is damaged, quantized, or another kind of
    /// network.
    pub fn open(directory: &Path, name: &str) -> Result<Self, Error> {
        Self::open_with(directory, name, Arithmetic::Fast)
    }

    fn open_with(directory: &Path, name: &str, arithmetic: Arithmetic) -> Result<Self, Error> {
        let path = model_file(directory)?;
        let file = OnnxFile::read(&path).map_err(|error| not_loaded(&path, error))?;
        let weights = weights::read(&file).map_err(|message| broken(&path, message))?;
        let network = network::build(weights, CHUNK_SAMPLES, arithmetic)
            .map_err(|error| broken_by(&path, "does not fit together", error))?;
        let digest = files::digest(std::slice::from_ref(&path), "")?;
        Ok(Self { network, name: name.to_owned(), digest })
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hexadecimal SHA-256 of the file in use.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Computes the log-probabilities of chunks that overlap, `[chunks, CHUNK_FRAMES, CLASSES]`.
    /// `samples` are 16 kHz PCM in [-1, 1); chunks of [`CHUNK_SAMPLES`] begin every `step` samples
    /// of them, so that they have `(chunks - 1) * step + CHUNK_SAMPLES`. The more chunks there are,
    /// the faster is each: 8 to 16 are a good number.
    ///
    /// # Errors
    /// [`Error::Network`] if the number of samples is not that of whole chunks, or if `step` is not
    /// a multiple of [`FRAME_SAMPLES`]; [`Error::Engine`] if the network fails.
    pub fn run(&self, samples: &[f32], step: usize) -> Result<Vec<f32>, Error> {
        let starts = starts(samples.len(), step)
            .ok_or_else(|| Error::Network(format!("{} samples are no chunks", samples.len())))?;
        let chunks = starts.len();
        let samples = engine::tensor(&[samples.len()], samples)?;
        let starts = engine::tensor(&[chunks], &starts)?;
        let outputs = self.network.run(vec![samples, starts])?;
        let values = outputs.first().map(engine::values::<f32>).transpose()?.unwrap_or_default();
        if values.len() != chunks * CHUNK_FRAMES * CLASSES {
            return Err(Error::Network(format!("{} values of {chunks} chunks", values.len())));
        }
        Ok(values.to_vec())
    }
}

/// Returns the first sample of each chunk, `None` if the samples are not whole chunks.
fn starts(samples: usize, step: usize) -> Option<Vec<i64>> {
    let last = samples.checked_sub(CHUNK_SAMPLES)?;
    let fits = step > 0 && step.is_multiple_of(FRAME_SAMPLES) && last.is_multiple_of(step);
    fits.then(|| (0..=last).step_by(step).map(|start| start as i64).collect())
}

/// Finds the file that holds the network.
fn model_file(directory: &Path) -> Result<PathBuf, Error> {
    if let Some(path) = files::find(directory, &["model.onnx"]) {
        return Ok(path);
    }
    let entries =
        fs::read_dir(directory).map_err(|error| broken_by(directory, "cannot be read", error))?;
    let is_network =
        |path: &PathBuf| path.is_file() && path.extension().is_some_and(|end| end == "onnx");
    let mut found: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(is_network).collect();
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(path),
        (Some(_), _) => Err(broken(
            directory,
            "the directory holds several models: keep one, or name one model.onnx",
        )),
        (None, _) => Err(broken(
            directory,
            "the directory holds no segmentation network: it has no .onnx file",
        )),
    }
}
