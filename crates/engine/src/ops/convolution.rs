use kernels::{Epilogue, Finish, float::Weights};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{float_products, floats, operator, zeros};
use crate::Error;

/// Convolution over time with zero padding and GELU.
///
/// With time as the first axis, the window of an output is one stretch of memory, and windows
/// overlap: a matrix product whose rows start every `stride * channels` numbers.
#[derive(Clone)]
pub(crate) struct Convolution {
    weights: Arc<Weights>,
    bias: Arc<[f32]>,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Convolution {
    /// `weights`: `[outputs, channels, kernel]`; `kernel` is odd.
    pub(crate) fn new(
        weights: &[f32],
        bias: Vec<f32>,
        kernel: usize,
        stride: usize,
    ) -> Result<Self, Error> {
        let outputs = bias.len();
        let window = weights.len().checked_div(outputs).unwrap_or(0);
        let channels = window.checked_div(kernel).unwrap_or(0);
        if stride == 0
            || kernel.is_multiple_of(2)
            || weights.is_empty()
            || outputs * channels * kernel != weights.len()
        {
            let message = format!(
                "{} weights for {outputs} outputs, kernel {kernel}, stride {stride}",
                weights.len()
            );
            return Err(Error::Graph(message));
        }
        // To [outputs, kernel, channels], as the inputs lie.
        let mut by_time = vec![0.0; weights.len()];
        for (row, by_time) in weights.chunks_exact(window).zip(by_time.chunks_exact_mut(window)) {
            for (index, value) in by_time.iter_mut().enumerate() {
                *value = row[index % channels * kernel + index / channels];
            }
        }
        let weights = Arc::new(Weights::pack(&by_time, outputs, window));
        Ok(Self { weights, bias: bias.into(), channels, kernel, stride })
    }
}

impl std::fmt::Debug for Convolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channels, kernel, stride, .. } = self;
        write!(f, "Convolution({channels} -> {}, {kernel} / {stride})", self.bias.len())
    }
}

impl PartialEq for Convolution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights) && self.stride == other.stride
    }
}

impl Eq for Convolution {}

operator!(Convolution);

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let time = inputs[0].shape()[0];
        let (outputs, pad) = (self.bias.len(), self.kernel / 2 * self.channels);
        let mut padded = vec![0.0; time * self.channels + 2 * pad];
        padded[pad..][..time * self.channels].copy_from_slice(floats(&inputs[0])?);
        let rows = time.div_ceil(self.stride);
        let mut out = zeros(&[rows, outputs])?;
        self.weights.apply(
            &padded,
            self.stride * self.channels,
            rows,
            Epilogue { bias: Some(&self.bias), finish: Finish::Gelu },
            out.try_as_plain_ram_mut()?.as_slice_mut()?,
        );
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [time, channels] = inputs[0].shape.dims() else {
            bail!("takes [time, channels], not {:?}", inputs[0].shape)
        };
        ensure!(*channels == self.channels.to_dim(), "takes {} channels", self.channels);
        let time = (time.clone() + (self.stride - 1)) / self.stride;
        Ok(tvec!(f32::fact([time, self.bias.len().to_dim()])))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let rows = self.output_facts(inputs)?[0].shape[0].clone();
        Ok(float_products(rows * (self.bias.len() * self.kernel * self.channels)))
    }
}
