//! Convolution over time, followed by max-pooling, instance norm and leaky ReLU.

use kernels::{Epilogue, PostOp, attention::ComputeType, bf16, float, pooling};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    convolution::by_time,
    cost::{bf16_macs, f32_macs},
    pool::{pooled_tensor, recycle},
    support::{floats, operator},
};
use crate::{
    error::Error,
    segmentation::{ConvolutionWeights, InstanceNorm},
};

/// Rows that are convolved before they are pooled, so that they stay in the cache. Whole windows.
const BLOCK: usize = 96;
/// Rows of a window of max-pooling, and from one to the next.
pub(super) const WINDOW: usize = 3;

/// Convolution without padding, then the maximum of every three rows, instance norm over time, and
/// leaky ReLU: `[batch, time, channels]` to `[batch, (time - kernel + 1) / 3, outputs]`.
#[derive(Debug, Clone)]
pub(crate) struct PooledConvolution {
    layer: Arc<Layer>,
}

struct Layer {
    weights: Weights,
    bias: Vec<f32>,
    channels: usize,
    kernel: usize,
    norm: InstanceNorm,
}

enum Weights {
    Float(float::Weights),
    Bf16(bf16::Weights),
}

impl PooledConvolution {
    /// Packs the weights.
    ///
    /// # Errors
    /// [`Error::Graph`] if the sizes do not fit.
    pub(crate) fn new(
        convolution: ConvolutionWeights,
        norm: InstanceNorm,
        compute_type: ComputeType,
    ) -> Result<Self, Error> {
        let ConvolutionWeights { weights, bias, kernel } = convolution;
        let outputs = bias.len();
        let window = weights.len().checked_div(outputs).unwrap_or(0);
        let channels = window.checked_div(kernel).unwrap_or(0);
        if channels == 0 || outputs * channels * kernel != weights.len() || !norm.fits(outputs) {
            let message = format!(
                "{} weights do not fit {outputs} outputs, kernel {kernel}, and their norm",
                weights.len()
            );
            return Err(Error::graph(message));
        }
        let weights = by_time(&weights, channels, kernel);
        let weights = match compute_type {
            ComputeType::F32 => Weights::Float(float::Weights::pack(&weights, outputs, window)),
            ComputeType::Bf16 => Weights::Bf16(bf16::Weights::pack(&weights, outputs, window)),
        };
        Ok(Self { layer: Arc::new(Layer { weights, bias, channels, kernel, norm }) })
    }
}

impl Layer {
    /// Convolves one item of the batch.
    fn run(&self, x: &[f32], block: &mut [f32], out: &mut [f32]) {
        let outputs = self.bias.len();
        let epilogue = Epilogue { bias: Some(&self.bias), post_op: PostOp::None };
        let pooled = BLOCK / WINDOW * outputs;
        for (index, out) in out.chunks_mut(pooled).enumerate() {
            let x = &x[index * BLOCK * self.channels..];
            let rows = out.len() / outputs * WINDOW;
            let block = &mut block[..rows * outputs];
            match &self.weights {
                Weights::Float(weights) => weights.apply(x, self.channels, rows, epilogue, block),
                Weights::Bf16(weights) => weights.apply(x, self.channels, rows, epilogue, block),
            }
            pooling::max_pool(block, outputs, WINDOW, out);
        }
        self.norm.apply(out);
    }

    fn pooled_rows(&self, rows: usize) -> usize {
        (rows + 1).saturating_sub(self.kernel) / WINDOW
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}, {}", self.channels, self.bias.len(), self.kernel)
    }
}

impl PartialEq for PooledConvolution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layer, &other.layer)
    }
}

impl Eq for PooledConvolution {}

operator!(PooledConvolution);

impl EvalOp for PooledConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[batch, rows, channels] = inputs[0].shape() else {
            bail!("takes [batch, time, channels]")
        };
        let (outputs, pooled) = (self.layer.bias.len(), self.layer.pooled_rows(rows));
        let mut out = pooled_tensor::<f32>(&[batch, pooled, outputs])?;
        if pooled > 0 {
            let mut block = vec![0.0; BLOCK * outputs];
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(pooled * outputs);
            for (x, out) in floats(&inputs[0])?.chunks_exact(rows * channels).zip(outs) {
                self.layer.run(x, &mut block, out);
            }
        }
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for PooledConvolution {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [batch, rows, channels] = inputs[0].shape.dims() else {
            bail!("takes [batch, time, channels], not {:?}", inputs[0].shape)
        };
        let Layer { channels: expected, ref bias, .. } = *self.layer;
        ensure!(*channels == expected.to_dim(), "takes {expected} channels, not {channels}");
        let pooled = self.layer.pooled_rows(rows.to_usize()?).to_dim();
        Ok(tvec!(f32::fact([batch.clone(), pooled, bias.len().to_dim()])))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let outputs = self.output_facts(inputs)?[0].shape.volume();
        let count = outputs * (WINDOW * self.layer.kernel * self.layer.channels);
        Ok(match self.layer.weights {
            Weights::Float(_) => f32_macs(count),
            Weights::Bf16(_) => bf16_macs(count),
        })
    }
}
