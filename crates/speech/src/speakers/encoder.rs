//! CAM++: a voice as a vector.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{Dim, Onnx};

use super::{campplus, checkpoint, chunks::WINDOW};
use crate::{
    features::{Filterbank, FilterbankOptions, FilterbankStream, Window},
    files::{self, broken},
    recognizer::Error,
};

/// Mel bins of CAM++'s input.
const BINS: usize = 80;
/// Embeddings of published models have 192 to 512 values.
const MOST_VALUES: usize = 4096;

/// The model, shared by all recordings and threads.
pub struct SpeakerEncoder {
    graph: Onnx,
    filterbank: Arc<Filterbank>,
    width: usize,
    name: String,
    digest: String,
}

impl SpeakerEncoder {
    /// Opens a model directory that holds either an ONNX file as 3D-Speaker and sherpa-onnx export
    /// it (`model.onnx`, `campplus*.onnx` or the only `*.onnx`; one input f32 `[1, frames, 80]`,
    /// one output f32 `[1, values]`), or a checkpoint of CAM++ as ModelScope has it
    /// (`campplus*.bin` or `campplus*.pt`).
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such file, or it is broken or another kind of network.
    pub fn open(directory: &Path, name: &str) -> Result<Self, Error> {
        let path = model_file(directory)?;
        let frames = Filterbank::frames(WINDOW);
        let inputs = [[1, frames, BINS].map(Dim::from).to_vec()];
        let is_onnx = path.extension().is_some_and(|extension| extension == "onnx");
        let graph = if is_onnx {
            Onnx::open(&path, &inputs)
        } else {
            let model = checkpoint::read(&path).and_then(campplus::onnx);
            Onnx::parse(&path, &model.map_err(|message| broken(&path, message))?, &inputs)
        };
        let options = FilterbankOptions { bins: BINS, window: Window::Povey, scale: 1.0 };
        let mut encoder = Self {
            graph: graph.map_err(|error| broken(&path, error))?,
            filterbank: Arc::new(Filterbank::new(options)),
            width: 0,
            name: name.to_owned(),
            digest: files::digest(std::slice::from_ref(&path), "")?,
        };
        // A file that is another kind of network should fail here, not at the first recording.
        let noise: Vec<f32> = (0..WINDOW).map(|i| ((i * i) % 1009) as f32 / 1009.0 - 0.5).collect();
        let values = encoder.run(&noise).map_err(|error| broken(&path, error))?;
        if !(2..=MOST_VALUES).contains(&values.len()) || !values.iter().all(|v| v.is_finite()) {
            let message = "is no speaker encoder, or damaged: what it says of noise is no embedding";
            return Err(broken(&path, message));
        }
        encoder.width = values.len();
        Ok(encoder)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over the file in use, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Values per embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The voice in at most [`WINDOW`] samples of 16 kHz PCM in [-1, 1), as `width` values whose
    /// direction tells speakers apart. What is shorter is followed by silence, as in FunASR.
    ///
    /// # Errors
    /// [`Error::Network`] if there are more samples, or the network fails.
    pub fn embed(&self, samples: &[f32]) -> Result<Vec<f32>, Error> {
        let values = self.run(samples)?;
        if values.len() != self.width {
            let message = format!("an embedding has {} values, not {}", values.len(), self.width);
            return Err(Error::Network(message));
        }
        Ok(values)
    }

    fn run(&self, samples: &[f32]) -> Result<Vec<f32>, Error> {
        if samples.len() > WINDOW {
            let message = format!("{} samples for a window of {WINDOW}", samples.len());
            return Err(Error::Network(message));
        }
        let mut stream = FilterbankStream::new(Arc::clone(&self.filterbank));
        let mut frames = Vec::with_capacity(Filterbank::frames(WINDOW) * BINS);
        stream.push(samples, &mut frames);
        stream.push(&vec![0.0; WINDOW - samples.len()], &mut frames);
        subtract_mean(&mut frames);
        self.infer(&frames)
    }

    /// `frames`: row-major `[n, BINS]`, of a whole window.
    pub(super) fn infer(&self, frames: &[f32]) -> Result<Vec<f32>, Error> {
        let network = |error: engine::Error| Error::Network(error.to_string());
        let shape = [1, frames.len() / BINS, BINS];
        let feature = engine::tensor(&shape, frames).map_err(network)?;
        let outputs = self.graph.run(vec![feature]).map_err(network)?;
        let [embedding] = outputs.as_slice() else {
            let message = format!("a speaker encoder has one output, not {}", outputs.len());
            return Err(Error::Network(message));
        };
        if embedding.shape().len() != 2 || embedding.shape()[0] != 1 {
            let message = format!("the embedding has the shape {:?}", embedding.shape());
            return Err(Error::Network(message));
        }
        Ok(engine::values::<f32>(embedding).map_err(network)?.to_vec())
    }
}

/// Subtracts each bin's mean over time: what the microphone adds to all frames is no voice.
fn subtract_mean(frames: &mut [f32]) {
    let count = (frames.len() / BINS) as f32;
    let mut mean = [0.0; BINS];
    for frame in frames.chunks_exact(BINS) {
        mean.iter_mut().zip(frame).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    for frame in frames.chunks_exact_mut(BINS) {
        frame.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
}

/// The file that holds the network.
fn model_file(directory: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(directory).map_err(|error| broken(directory, error))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let is = |path: &Path, prefix: &str, suffixes: &[&str]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && suffixes.iter().any(|suffix| name.ends_with(suffix))
    };
    let all = |prefix: &str, suffixes: &[&str]| {
        paths.iter().filter(|path| is(path, prefix, suffixes)).cloned().collect::<Vec<_>>()
    };
    let choices = [
        files::find(directory, &["model.onnx"]).into_iter().collect(),
        all("campplus", &[".onnx"]),
        all("", &[".onnx"]),
        all("campplus", &[".bin", ".pt"]),
    ];
    let mut found = choices.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(path),
        (Some(_), _) => Err(broken(
            directory,
            "the directory holds several models: leave one, or name it model.onnx",
        )),
        (None, _) => Err(broken(
            directory,
            "the directory holds no speaker model: neither an .onnx file nor campplus*.bin",
        )),
    }
}
