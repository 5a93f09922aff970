//! Builds the network from operators of `engine`.

use std::sync::Arc;

use engine::{ComputeType, Error, GraphBuilder, Linear, Network, PostOp, Precision};

use super::weights::{Convolution, Layer, Weights};

/// Number formats of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// f32 throughout, as the original.
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference that tests compare with"))]
    F32,
    /// As fast as the classes found stay the same but for a few frames in a thousand.
    Fast,
}

/// Builds the network: samples `[n]` and the first sample of each chunk, i64 `[chunks]`, to
/// `[chunks, frames, classes]`.
pub(super) fn build(
    weights: Weights,
    chunk: usize,
    arithmetic: Arithmetic,
) -> Result<Network, Error> {
    let (lstm, others) = match arithmetic {
        Arithmetic::F32 => (Precision::F32, ComputeType::F32),
        Arithmetic::Fast => (Precision::Int8, ComputeType::fastest()),
    };
    let mut graph = GraphBuilder::default();
    let samples = graph.input::<f32>("samples", &["samples".into()])?;
    let starts = graph.input::<i64>("starts", &["chunks".into()])?;
    let (bank, stride) = (&weights.bank, weights.bank_stride);
    let norms = [weights.chunk_norm, weights.bank_norm];
    let mut x = graph.shared_bank("bank", [samples, starts], bank, stride, chunk, norms)?;
    for (index, layer) in weights.convolutions.into_iter().enumerate() {
        let Convolution { filters, norm } = layer;
        x = graph.pooled_convolution(&format!("convolution_{index}"), x, filters, norm, others)?;
    }
    // Time comes first, so that a step of all chunks is contiguous.
    let mut x = graph.transpose("steps", x)?;
    for (index, directions) in weights.lstms.iter().enumerate() {
        x = graph.bidirectional_lstm(&format!("lstm_{index}"), x, directions, lstm)?;
    }
    let last = weights.linears.len().saturating_sub(1);
    for (index, Layer { weights, bias }) in weights.linears.into_iter().enumerate() {
        let activation = if index < last { PostOp::LeakyRelu } else { PostOp::None };
        let layer = match others {
            ComputeType::F32 => Linear::float(&weights, bias.len(), Some(bias))?,
            ComputeType::Bf16 => Linear::bf16(&weights, bias.len(), Some(bias))?,
        };
        x = graph.linear(&format!("linear_{index}"), x, &Arc::new(layer), activation)?;
    }
    let x = graph.log_softmax("log_softmax", x)?;
    let x = graph.transpose("chunks", x)?;
    graph.build(&[x])
}
