//! The joint network: scores of tokens and durations from a frame and the tokens so far.

use engine::{Linear, OnnxFile, PostOp, Precision};

use super::weights::{Reader, foreign};

/// `scores = W relu(E frame + P prediction) + b`, each with a bias.
pub(super) struct Joint {
    of_frame: Linear,
    of_prediction: Linear,
    scores: Linear,
}

impl Joint {
    /// Reads the network from a file that has it, alone or with the prediction network, whose output is
    /// the tensor `prediction`. Errors are messages that follow the file's name.
    pub(super) fn read(
        file: &OnnxFile,
        prediction: &str,
        precision: Precision,
    ) -> Result<Self, String> {
        let reader = Reader { file };
        let output = file.outputs().first().ok_or_else(|| foreign("it has no output"))?;
        // Some exporters take the logarithm of the softmax over tokens and durations together, which
        // changes no decision, and probabilities are computed from differences.
        let scores =
            reader.computed(&output.name, "LogSoftmax").ok().and_then(|node| node.input(0));
        let scores = reader.linear(scores.unwrap_or(&output.name))?;
        let relu = reader.computed(scores.input, "Relu")?;
        let sum = reader.computed(relu.input(0).unwrap_or_default(), "Add")?;
        let [Some(a), Some(b)] = [0, 1].map(|index| sum.input(index)) else {
            return Err(foreign("the joint network does not add two inputs"));
        };
        let (a, b) = (reader.linear(a)?, reader.linear(b)?);
        let (of_frame, of_prediction) = match (a.input == prediction, b.input == prediction) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return Err(foreign("the joint network does not add a frame and a prediction")),
        };
        if !file.inputs().iter().any(|port| port.name == of_frame.input) {
            return Err(foreign("the joint network does not take frames"));
        }
        let width = scores.matrix.inputs;
        if of_frame.matrix.outputs != width || of_prediction.matrix.outputs != width {
            return Err(foreign("the layers of the joint network do not fit together"));
        }
        let pack =
            |layer: super::weights::Layer<'_>| layer.matrix.linear(Some(layer.bias), precision);
        Ok(Self {
            of_frame: pack(of_frame)?,
            of_prediction: pack(of_prediction)?,
            scores: pack(scores)?,
        })
    }

    /// Returns the number of values of a frame.
    pub(super) fn frame_width(&self) -> usize {
        self.of_frame.inputs()
    }

    /// Returns the number of values of a prediction.
    pub(super) fn prediction_width(&self) -> usize {
        self.of_prediction.inputs()
    }

    /// Returns the number of values that a frame and a prediction are projected to.
    pub(super) fn width(&self) -> usize {
        self.scores.inputs()
    }

    /// Returns the number of scores: tokens, the blank, durations.
    pub(super) fn outputs(&self) -> usize {
        self.scores.outputs()
    }

    /// Projects frames `[frames, frame_width]` to `[frames, width]`.
    pub(super) fn project_frames(&self, frames: &[f32]) -> Vec<f32> {
        let mut projected = vec![0.0; frames.len() / self.frame_width() * self.width()];
        // As with one frame after the other, which is what the files are run with elsewhere.
        self.of_frame.apply_by_row(frames, PostOp::None, &mut projected);
        projected
    }

    /// Projects a prediction to [`Self::width`] values.
    pub(super) fn project_prediction(&self, prediction: &[f32], projected: &mut [f32]) {
        self.of_prediction.apply(prediction, PostOp::None, projected);
    }

    /// Computes [`Self::outputs`] scores of a projected frame and a projected prediction. Overwrites the frame.
    pub(super) fn scores(&self, frame: &mut [f32], prediction: &[f32], scores: &mut [f32]) {
        for (value, prediction) in frame.iter_mut().zip(prediction) {
            *value = (*value + prediction).max(0.0);
        }
        self.scores.apply_by_row(frame, PostOp::None, scores);
    }
}
