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
pub(super) struct DecoderFiles {
    pub(super) prediction: OnnxFile,
    /// sherpa-onnx has the joint network in a file of its own; `None` if it is in the same file, as onnx-asr
    /// has it.
    pub(super) joint: Option<OnnxFile>,
}

impl DecoderFiles {
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let files = std::iter::once(&self.prediction).chain(&self.joint);
        files.flat_map(super::files::all).collect()
    }

    /// Returns the file of the joint network, which has the scores.
    pub(super) fn joint(&self) -> &OnnxFile {
        self.joint.as_ref().unwrap_or(&self.prediction)
    }
}

impl Decoder {
    /// Reads both networks.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is another network, or the two do not fit together.
    pub(super) fn open(files: &DecoderFiles, precision: Precision) -> Result<Self, Error> {
        let DecoderFiles { prediction: file, joint } = files;
        let fail = |file: &OnnxFile, message| broken(file.path(), message);
        let network = Prediction::read(file, precision).map_err(|message| fail(file, message))?;
        let output = prediction::output(file).unwrap_or_default();
        let joint = match joint {
            None => Joint::read(file, output, precision).map_err(|message| fail(file, message))?,
            Some(joint) => {
                let first = file.outputs().first();
                if first.is_none_or(|port| Reader { file }.origin(&port.name) != output) {
                    return Err(broken(file.path(), "its first output is not its LSTM's"));
                }
                let input = joint.inputs().get(1).map_or("", |port| &port.name);
                Joint::read(joint, input, precision).map_err(|message| fail(joint, message))?
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
