//! The prediction network and the joint network of a model, and the state of both for one segment.

use std::path::PathBuf;

use engine::{OnnxFile, Precision};

use super::{
    decode::Transducer,
    joint::Joint,
    prediction::{self, Prediction, State},
    weights::Reader,
};
use crate::{files::broken, recognizer::Error};

/// The network that turns frames of the encoder into text.
pub(super) struct Decoder {
    prediction: Prediction,
    joint: Joint,
}

/// Files of a decoder.
pub(super) enum DecoderFiles {
    /// Prediction network and joint network in one file, as onnx-asr has them.
    Joined(OnnxFile),
    /// One file each, as sherpa-onnx has them.
    Separate { prediction: OnnxFile, joint: OnnxFile },
}

impl DecoderFiles {
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let files = match self {
            Self::Joined(file) => vec![file],
            Self::Separate { prediction, joint } => vec![prediction, joint],
        };
        files.into_iter().flat_map(super::files::all).collect()
    }

    /// Returns the file of the joint network, which has the scores.
    pub(super) fn joint(&self) -> &OnnxFile {
        match self {
            Self::Joined(file) | Self::Separate { joint: file, .. } => file,
        }
    }

    fn prediction(&self) -> &OnnxFile {
        match self {
            Self::Joined(file) | Self::Separate { prediction: file, .. } => file,
        }
    }
}

impl Decoder {
    /// Reads both networks.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is another network, or the two do not fit together.
    pub(super) fn open(files: &DecoderFiles, precision: Precision) -> Result<Self, Error> {
        let file = files.prediction();
        let fail = |message| broken(file.path(), message);
        let network = Prediction::read(file, precision).map_err(fail)?;
        let output = prediction::output(file).unwrap_or_default();
        let joint = match files {
            DecoderFiles::Joined(file) => Joint::read(file, output, precision).map_err(fail)?,
            DecoderFiles::Separate { prediction, joint: file } => {
                let reader = Reader { file: prediction };
                let first = prediction.outputs().first();
                if first.is_none_or(|port| reader.origin(&port.name) != output) {
                    return Err(broken(prediction.path(), "its first output is not its LSTM's"));
                }
                let input = file.inputs().get(1).map_or("", |port| &port.name);
                Joint::read(file, input, precision)
                    .map_err(|message| broken(file.path(), message))?
            }
        };
        let path = files.joint().path();
        if network.width() != joint.prediction_width() {
            let message = format!(
                "takes predictions of {} values, but the prediction network gives {}: the files are \
                 from different models",
                joint.prediction_width(),
                network.width()
            );
            return Err(broken(path, message));
        }
        if joint.outputs() <= network.tokens() {
            let message = format!(
                "has {} scores for {} tokens, and none for durations: only transducers with durations \
                 (TDT) are supported",
                joint.outputs(),
                network.tokens()
            );
            return Err(broken(path, message));
        }
        Ok(Self { prediction: network, joint })
    }

    /// Returns the number of tokens, without the blank, which is the next one.
    pub(super) fn blank(&self) -> usize {
        self.prediction.tokens() - 1
    }

    /// Returns the number of values of a frame of the encoder.
    pub(super) fn frame_width(&self) -> usize {
        self.joint.frame_width()
    }

    /// Begins to decode a segment of frames `[frames, frame_width]`.
    pub(super) fn segment(&self, frames: &[f32]) -> Segment<'_> {
        let width = self.joint.width();
        let mut segment = Segment {
            decoder: self,
            frames: self.joint.project_frames(frames),
            state: self.prediction.state(),
            prediction: vec![0.0; width],
            sum: vec![0.0; width],
            scores: vec![0.0; self.joint.outputs()],
        };
        segment.take(self.blank());
        segment
    }
}

/// A segment that is decoded.
pub(super) struct Segment<'a> {
    decoder: &'a Decoder,
    /// Projected frames, `[frames, width]`.
    frames: Vec<f32>,
    state: State,
    /// Projected output of the prediction network, which changes only with a token.
    prediction: Vec<f32>,
    /// Scratch memory.
    sum: Vec<f32>,
    scores: Vec<f32>,
}

impl Transducer for Segment<'_> {
    fn scores(&mut self, frame: usize) -> &[f32] {
        let width = self.sum.len();
        self.sum.copy_from_slice(&self.frames[frame * width..][..width]);
        self.decoder.joint.scores(&mut self.sum, &self.prediction, &mut self.scores);
        &self.scores
    }

    fn take(&mut self, token: usize) {
        self.decoder.prediction.take(token, &mut self.state);
        self.decoder.joint.project_prediction(self.state.output(), &mut self.prediction);
    }
}
