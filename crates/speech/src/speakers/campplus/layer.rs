//! Convolutions of the network, in f32 or bfloat16.

use kernels::{
    PostOp, Rows,
    convolution::{Convolution, Finish, Normalization, Window},
};

/// A convolution as it is read from a file, with the batch normalization after it folded in.
pub(super) struct Parts {
    /// Row-major `[outputs, channels, kernel height, kernel width]`.
    pub(super) weights: Vec<f32>,
    pub(super) outputs: usize,
    pub(super) channels: usize,
    pub(super) window: Window,
    pub(super) bias: Option<Vec<f32>>,
}

/// Scale and shift of each channel.
pub(super) type Affine = (Vec<f32>, Vec<f32>);

impl Parts {
    /// Multiplies each output by its scale and adds its shift.
    pub(super) fn fold(&mut self, (scale, shift): Affine) {
        let inputs = self.weights.len() / self.outputs;
        for (row, scale) in self.weights.chunks_exact_mut(inputs).zip(&scale) {
            row.iter_mut().for_each(|weight| *weight *= scale);
        }
        let bias = self.bias.take().unwrap_or_else(|| vec![0.0; self.outputs]);
        let parts = bias.iter().zip(&scale).zip(&shift);
        self.bias = Some(parts.map(|((bias, scale), shift)| bias * scale + shift).collect());
    }

    /// Returns whether outputs over time are as many as inputs.
    pub(super) fn keeps_time(&self) -> bool {
        let Window { kernel, stride, dilation, before, after } = self.window;
        stride[1] == 1 && before[1] + after[1] == (kernel[1] - 1) * dilation[1]
    }

    /// Returns whether this is a linear layer of each row of channels.
    pub(super) fn is_pointwise(&self) -> bool {
        let Window { kernel, stride, before, after, .. } = self.window;
        (kernel, stride, before, after) == ([1, 1], [1, 1], [0, 0], [0, 0])
    }
}

/// A packed convolution.
pub(super) struct Layer {
    weights: Weights,
    bias: Option<Vec<f32>>,
    normalization: Option<Affine>,
    activation: PostOp,
}

enum Weights {
    Float(Convolution<f32>),
    Bf16(Convolution<u16>),
}

impl Layer {
    /// Packs a convolution with the batch normalization and ReLU before it, if there are any, and
    /// the activation after it. Rounds weights and inputs to bfloat16 if `rounded`.
    pub(super) fn new(
        parts: Parts,
        normalization: Option<Affine>,
        activation: PostOp,
        rounded: bool,
    ) -> Self {
        let Parts { weights, outputs, channels, window, bias } = parts;
        let weights = if rounded {
            Weights::Bf16(Convolution::pack(&weights, outputs, channels, window))
        } else {
            Weights::Float(Convolution::pack(&weights, outputs, channels, window))
        };
        Self { weights, bias, normalization, activation }
    }

    pub(super) fn channels(&self) -> usize {
        match &self.weights {
            Weights::Float(weights) => weights.channels(),
            Weights::Bf16(weights) => weights.channels(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        match &self.weights {
            Weights::Float(weights) => weights.outputs(),
            Weights::Bf16(weights) => weights.outputs(),
        }
    }

    pub(super) fn window(&self) -> Window {
        match &self.weights {
            Weights::Float(weights) => weights.window(),
            Weights::Bf16(weights) => weights.window(),
        }
    }

    /// Computes the layer of `x`, `[height, width]` rows of channels, plus `residual`, and returns
    /// the shape of the output. Writes `[height, width, outputs]` to `out`, as long as that is.
    pub(super) fn run(
        &self,
        x: Rows<'_>,
        shape: [usize; 2],
        residual: Option<&[f32]>,
        out: &mut Vec<f32>,
    ) -> [usize; 2] {
        let [height, width] = self.window().output(shape).expect("windows of one frame or more");
        out.resize(height * width * self.outputs(), 0.0);
        let normalization = self.normalization.as_ref();
        let normalization = normalization.map(|(scale, shift)| Normalization { scale, shift });
        let finish = Finish { bias: self.bias.as_deref(), residual, activation: self.activation };
        match &self.weights {
            Weights::Float(weights) => weights.apply(x, shape, normalization, finish, out),
            Weights::Bf16(weights) => weights.apply(x, shape, normalization, finish, out),
        }
        [height, width]
    }

    /// Computes the layer of contiguous rows.
    pub(super) fn run_rows(&self, x: &[f32], shape: [usize; 2], out: &mut Vec<f32>) -> [usize; 2] {
        self.run(rows(x, self.channels()), shape, None, out)
    }
}

/// Returns contiguous rows of `width` numbers.
pub(super) fn rows(values: &[f32], width: usize) -> Rows<'_> {
    Rows { values, stride: width, count: values.len() / width }
}
