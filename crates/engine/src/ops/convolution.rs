//! Convolution over time.

use kernels::{Epilogue, PostOp, float::Weights};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::f32_macs,
    pool::pooled_tensor,
    support::{floats, operator},
};
use crate::error::Error;

/// Convolution over time of `[..., time, channels]`, with zero padding and a post-op.
///
/// Since time is the outer axis, the window of an output is contiguous in memory. The convolution
/// is a GEMM whose rows overlap: one starts every `stride * channels` values.
#[derive(Clone)]
pub(crate) struct Convolution {
    weights: Arc<Weights>,
    bias: Arc<[f32]>,
    channels: usize,
    kernel: usize,
    stride: usize,
    post_op: PostOp,
}

impl Convolution {
    /// Packs `weights`, `[outputs, channels, kernel]`. `kernel` is odd.
    ///
    /// # Errors
    /// [`Error::Graph`] if the sizes do not fit.
    pub(crate) fn new(
        weights: &[f32],
        bias: Vec<f32>,
        kernel: usize,
        stride: usize,
        post_op: PostOp,
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
                "{} weights do not fit {outputs} outputs, kernel {kernel}, stride {stride}",
                weights.len()
            );
            return Err(Error::graph(message));
        }
        let weights = Weights::pack(&by_time(weights, channels, kernel), outputs, window);
        let weights = Arc::new(weights);
        Ok(Self { weights, bias: bias.into(), channels, kernel, stride, post_op })
    }
}

/// Reorders weights `[outputs, channels, kernel]` to `[outputs, kernel, channels]`, the order of the
/// inputs.
pub(super) fn by_time(weights: &[f32], channels: usize, kernel: usize) -> Vec<f32> {
    let mut by_time = vec![0.0; weights.len()];
    let window = channels * kernel;
    for (row, by_time) in weights.chunks_exact(window).zip(by_time.chunks_exact_mut(window)) {
        for (index, value) in by_time.iter_mut().enumerate() {
            *value = row[index % channels * kernel + index / channels];
        }
    }
    by_time
}

impl std::fmt::Debug for Convolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channels, kernel, stride, .. } = self;
        write!(f, "Convolution({channels} -> {}, {kernel} / {stride})", self.bias.len())
    }
}

impl PartialEq for Convolution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (self.stride, self.post_op) == (other.stride, other.post_op)
    }
}

impl Eq for Convolution {}

operator!(Convolution);

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (channels, outputs, stride) = (self.channels, self.bias.len(), self.stride);
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let [.., time, last] = shape.as_mut_slice() else { bail!("takes [..., time, channels]") };
        let (frames, rows) = (*time, time.div_ceil(stride));
        (*time, *last) = (rows, outputs);
        let mut out = pooled_tensor::<f32>(&shape)?;
        if rows > 0 {
            let pad = self.kernel / 2 * channels;
            let mut padded = vec![0.0; frames * channels + 2 * pad];
            let epilogue = Epilogue { bias: Some(&self.bias), post_op: self.post_op };
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(rows * outputs);
            for (x, out) in floats(&inputs[0])?.chunks_exact(frames * channels).zip(outs) {
                padded[pad..][..x.len()].copy_from_slice(x);
                self.weights.apply(&padded, stride * channels, rows, epilogue, out);
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        let [.., time, channels] = shape.as_mut_slice() else {
            bail!("takes [..., time, channels], not {:?}", inputs[0].shape)
        };
        ensure!(
            *channels == self.channels.to_dim(),
            "takes {} channels, not {channels}",
            self.channels
        );
        *time = (time.clone() + (self.stride - 1)) / self.stride;
        *channels = self.bias.len().to_dim();
        Ok(tvec!(f32::fact(&*shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let outputs = self.output_facts(inputs)?[0].shape.volume();
        Ok(f32_macs(outputs * (self.kernel * self.channels)))
    }
}
