//! Counts the multiply-accumulate operations of operators, from [`TypedOp::cost`].

use std::cell::RefCell;

use kernels::attention::ComputeType;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::counts::MacCounts;
use crate::{decoding::DecoderState, ops};

/// Counts the MACs of one call of `node` with inputs of these `facts`. A number that is unknown
/// before the call counts as zero.
pub(crate) fn count_macs(
    node: &TypedNode,
    facts: &[&TypedFact],
    symbols: &SymbolValues,
    shared: Option<&TurnShared>,
) -> MacCounts {
    if let Some(macs) = decoder_macs(node.op.as_ref(), facts, symbols, shared) {
        return macs;
    }
    let mut macs = MacCounts::default();
    // tract also reports costs for elementwise operators.
    let name = node.op.name();
    let multiplies = ["MatMul", "EinSum", "Conv", "DepthWise"];
    if ops::is_generic(node.op.as_ref()) && !multiplies.iter().any(|kind| name.contains(kind)) {
        return macs;
    }
    for (cost, count) in node.op.cost(facts).unwrap_or_default() {
        let count = count.eval(symbols).to_i64().map_or(0, |count| count.max(0) as u64);
        match cost {
            Cost::FMA(kind) if kind.is_integer() => macs.int8 += count,
            Cost::FMA(_) => macs.f32 += count,
            Cost::Custom(_, kind) if kind == ops::BF16_MAC => macs.bf16 += count,
            _ => {}
        }
    }
    macs
}

/// Counts the MACs of attention in a decoder, which depend on the positions decoded so far.
fn decoder_macs(
    op: &dyn TypedOp,
    facts: &[&TypedFact],
    symbols: &SymbolValues,
    shared: Option<&TurnShared>,
) -> Option<MacCounts> {
    let state = shared?.get::<RefCell<DecoderState>>()?.try_borrow().ok()?;
    let shape = facts.first()?.shape.eval_to_usize(symbols).ok()?;
    let (count, compute_type) = if op.is::<ops::CachedAttention>() {
        let &[beams, added, stride] = shape.as_slice() else { return None };
        let positions: usize = (1..=added).map(|index| state.cache.length() + index).sum();
        (beams * positions * 2 * (stride / 3), ComputeType::F32)
    } else if op.is::<ops::CrossAttention>() {
        let memory = &state.memory;
        (2 * shape.iter().product::<usize>() * memory.length(), memory.compute_type())
    } else {
        return None;
    };
    Some(match compute_type {
        ComputeType::F32 => MacCounts { f32: count as u64, ..MacCounts::default() },
        ComputeType::Bf16 => MacCounts { bf16: count as u64, ..MacCounts::default() },
    })
}
