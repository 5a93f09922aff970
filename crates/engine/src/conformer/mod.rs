//! Layers of Conformer encoders (Gulati et al. 2020), as NeMo builds them.

#[cfg(test)]
mod tests;

use kernels::{Rows, attention::ComputeType, relative_attention};

use crate::{
    error::Error,
    network::{GraphBuilder, Node},
    ops,
    precision::Precision,
};

/// Convolutions that halve time and mel bins: the first of one channel, then stages of a depthwise
/// and a pointwise convolution. All but the pointwise ones have kernel 3 and stride 2, and ReLU
/// follows all but the depthwise ones.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsamplingWeights {
    /// `[channels, 3, 3]`.
    pub first: Vec<f32>,
    /// `[channels]`.
    pub bias: Vec<f32>,
    pub stages: Vec<SubsamplingStage>,
}

/// A depthwise and a pointwise convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsamplingStage {
    /// `[channels, 3, 3]`.
    pub depthwise: Vec<f32>,
    /// `[channels]`.
    pub depthwise_bias: Vec<f32>,
    /// Row-major `[channels, channels]`: a row for each output.
    pub pointwise: Vec<f32>,
    /// `[channels]`.
    pub pointwise_bias: Vec<f32>,
}

/// Positions that the heads of a layer attend by.
#[derive(Debug, Clone, PartialEq)]
pub struct RelativePositions<'a> {
    /// Projected positions `reach` to `-reach`, row-major `[2 * reach + 1, width]`.
    pub projected: &'a [f32],
    /// What is added to queries before keys, `[width]`; its heads are one after the other.
    pub content_bias: &'a [f32],
    /// What is added to queries before positions, likewise.
    pub position_bias: &'a [f32],
}

impl GraphBuilder {
    /// Adds subsampling: f32 `[time, bins]` to `[time / 2^n, bins / 2^n * channels]`, rounded up, for
    /// n convolutions with stride. Channels are the inner axis. Pointwise convolutions compute in
    /// `precision`, the others in f32.
    pub fn subsampling(
        &mut self,
        name: &str,
        x: Node,
        weights: SubsamplingWeights,
        precision: Precision,
    ) -> Result<Node, Error> {
        self.wire(name, ops::Subsampling::new(weights, precision)?, &[x])
    }

    /// Adds self-attention with relative positions, `[time, 3 * width]`, in each row queries, keys and
    /// values, to `[time, width]`; see [`kernels::relative_attention`]. A run fails if it is longer
    /// than the positions reach.
    pub fn relative_attention(
        &mut self,
        name: &str,
        qkv: Node,
        positions: &RelativePositions<'_>,
        heads: usize,
        compute_type: ComputeType,
    ) -> Result<Node, Error> {
        let RelativePositions { projected, content_bias, position_bias } = *positions;
        let width = content_bias.len();
        let fits = heads > 0
            && width > 0
            && width.is_multiple_of(heads)
            && position_bias.len() == width
            && projected.len().is_multiple_of(width)
            && !(projected.len() / width).is_multiple_of(2);
        if !fits {
            let message = format!("the positions of `{name}` do not fit {heads} heads");
            return Err(Error::graph(message));
        }
        let count = projected.len() / width;
        let heads = (0..width).step_by(width / heads).map(|first| {
            let columns = first..first + width / heads;
            relative_attention::RelativePositions::pack(
                Rows { values: &projected[first..], stride: width, count },
                &content_bias[columns.clone()],
                &position_bias[columns],
                compute_type,
            )
        });
        self.wire(name, ops::RelativeAttention { heads: heads.collect() }, &[qkv])
    }

    /// Adds a gated linear unit, a depthwise convolution over time with "same" zero padding, its bias,
    /// and SiLU: `[time, 2 * channels]` to `[time, channels]`. `weights` are `[channels, taps]`, an
    /// odd number of taps.
    pub fn gated_convolution(
        &mut self,
        name: &str,
        x: Node,
        weights: &[f32],
        bias: Vec<f32>,
    ) -> Result<Node, Error> {
        let channels = bias.len();
        let taps = weights.len().checked_div(channels).unwrap_or(0);
        if taps.is_multiple_of(2) || taps * channels != weights.len() {
            let message = format!("{} weights do not fit {channels} channels", weights.len());
            return Err(Error::graph(message));
        }
        let by_tap = (0..weights.len()).map(|at| weights[at % channels * taps + at / channels]);
        let op = ops::GatedConvolution { weights: by_tap.collect(), bias: bias.into() };
        self.wire(name, op, &[x])
    }
}
