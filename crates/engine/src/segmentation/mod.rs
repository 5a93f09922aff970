//! Layers of networks that find who speaks when, such as pyannote's: SincNet and LSTMs.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernels::{attention::ComputeType, lstm::Lstm};

use crate::{
    error::Error,
    network::{GraphBuilder, Node},
    ops,
    precision::Precision,
};

/// Parameters of instance norm, which normalizes each channel over time; see
/// [`kernels::pooling::instance_norm`].
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceNorm {
    /// One number per channel, as `beta`.
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub epsilon: f32,
}

impl InstanceNorm {
    pub(crate) fn fits(&self, channels: usize) -> bool {
        self.gamma.len() == channels && self.beta.len() == channels
    }

    /// Normalizes rows of channels over time, and applies leaky ReLU.
    pub(crate) fn apply(&self, rows: &mut [f32]) {
        kernels::pooling::instance_norm(rows, &self.gamma, &self.beta, self.epsilon);
    }

    /// Returns the factor and the offset that normalize these samples, one channel, without ReLU.
    pub(crate) fn of_samples(&self, samples: &[f32]) -> (f32, f32) {
        let (mean, variance) = kernels::pooling::mean_and_variance(samples);
        let scale = f64::from(self.gamma[0]) / (variance + f64::from(self.epsilon)).sqrt();
        (scale as f32, (f64::from(self.beta[0]) - mean * scale) as f32)
    }
}

/// Weights of a convolution over time.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionWeights {
    /// Row-major `[outputs, channels, kernel]`.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
    pub kernel: usize,
}

/// Weights of an LSTM in one direction, with the gates in ONNX's order: input, output, forget,
/// candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct LstmWeights {
    /// Row-major `[4 * width, inputs]`.
    pub input: Vec<f32>,
    /// Row-major `[4 * width, width]`.
    pub recurrent: Vec<f32>,
    /// `[4 * width]`.
    pub bias: Vec<f32>,
}

impl GraphBuilder {
    /// Adds the first block of SincNet for chunks of `chunk` samples: instance norm of the chunk,
    /// `filters` (`[channels, taps]`) every `stride` samples, magnitude, the maximum of every three
    /// rows, instance norm over time, leaky ReLU.
    ///
    /// `samples` are f32 `[n]`, `starts` the first sample of each chunk, i64 `[chunks]`, a multiple
    /// of `3 * stride`. Returns `[chunks, rows, channels]`. The filters run once for all chunks
    /// that share samples.
    pub fn shared_bank(
        &mut self,
        name: &str,
        [samples, starts]: [Node; 2],
        filters: &[f32],
        stride: usize,
        chunk: usize,
        [chunk_norm, norm]: [InstanceNorm; 2],
    ) -> Result<Node, Error> {
        let op = ops::SharedBank::new(filters, stride, chunk, chunk_norm, norm)?;
        self.wire(name, op, &[samples, starts])
    }

    /// Adds a convolution over time without padding, the maximum of every three rows, instance norm
    /// over time, and leaky ReLU: `[batch, time, channels]` to
    /// `[batch, (time - kernel + 1) / 3, outputs]`.
    pub fn pooled_convolution(
        &mut self,
        name: &str,
        x: Node,
        convolution: ConvolutionWeights,
        norm: InstanceNorm,
        compute_type: ComputeType,
    ) -> Result<Node, Error> {
        self.wire(name, ops::PooledConvolution::new(convolution, norm, compute_type)?, &[x])
    }

    /// Adds an LSTM from the first step to the last beside one from the last to the first, both
    /// from a state of zeros: `[time, batch, inputs]` to `[time, batch, 2 * width]`.
    pub fn bidirectional_lstm(
        &mut self,
        name: &str,
        x: Node,
        [forward, backward]: &[LstmWeights; 2],
        precision: Precision,
    ) -> Result<Node, Error> {
        let sizes = |w: &LstmWeights| (w.input.len(), w.recurrent.len(), w.bias.len());
        let (input, recurrent, gates) = sizes(forward);
        let fits = gates > 0
            && gates.is_multiple_of(4)
            && recurrent == gates * (gates / 4)
            && input > 0
            && input.is_multiple_of(gates)
            && sizes(forward) == sizes(backward);
        if !fits {
            let message = format!("the weights of LSTM `{name}` do not fit its {gates} gates");
            return Err(Error::graph(message));
        }
        if precision == Precision::Int8 && input / gates.max(1) > kernels::int8::MAX_INPUTS {
            return Err(Error::graph(format!("LSTM `{name}` has too many inputs for int8")));
        }
        let pack = match precision {
            Precision::F32 => Lstm::pack,
            Precision::Bf16 => Lstm::pack_bf16,
            Precision::Int8 => Lstm::quantize,
        };
        let pack = |w: &LstmWeights| pack(&w.input, &w.recurrent, &w.bias);
        let directions = Arc::new([pack(forward), pack(backward)]);
        self.wire(name, ops::BidirectionalLstm { directions }, &[x])
    }

    /// Adds the logarithm of softmax over the last axis.
    pub fn log_softmax(&mut self, name: &str, x: Node) -> Result<Node, Error> {
        self.wire(name, ops::Softmax { log: true }, &[x])
    }
}
