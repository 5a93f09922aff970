//! How much operators multiply, by tract's own way to ask: [`TypedOp::cost`].

use std::cell::RefCell;

use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::Products;
use crate::{ComputeType, decoding::Decoding, ops};

/// In [`Op::info`] of operators of ours.
pub(crate) const OURS: &str = "stands on kernels";

/// Whether an operator is tract's, and none of ours.
pub(crate) fn is_generic(op: &dyn TypedOp) -> bool {
    !op.info().is_ok_and(|info| info.iter().any(|line| line == OURS))
}

/// A [`Cost::Custom`]: products of bfloat16, a type that tract does not know.
pub(crate) const BF16: &str = "FMA(bf16)";

/// The products of one call of `node`, which takes what `facts` say. What cannot be known before
/// the call counts as nothing.
pub(crate) fn products(
    node: &TypedNode,
    facts: &[&TypedFact],
    symbols: &SymbolValues,
    shared: Option<&TurnShared>,
) -> Products {
    if let Some(products) = decoding_products(node.op.as_ref(), facts, symbols, shared) {
        return products;
    }
    let mut products = Products::default();
    // tract counts what goes over single numbers, too.
    let name = node.op.name();
    let multiplies = ["MatMul", "EinSum", "Conv", "DepthWise"];
    if is_generic(node.op.as_ref()) && !multiplies.iter().any(|kind| name.contains(kind)) {
        return products;
    }
    for (cost, count) in node.op.cost(facts).unwrap_or_default() {
        let count = count.eval(symbols).to_i64().map_or(0, |count| count.max(0) as u64);
        match cost {
            Cost::FMA(kind) if kind.is_integer() => products.int8 += count,
            Cost::FMA(_) => products.f32 += count,
            Cost::Custom(_, kind) if kind == BF16 => products.bf16 += count,
            _ => {}
        }
    }
    products
}

/// Those of operators that see more than their inputs: what was decoded before.
fn decoding_products(
    op: &dyn TypedOp,
    facts: &[&TypedFact],
    symbols: &SymbolValues,
    shared: Option<&TurnShared>,
) -> Option<Products> {
    let decoding = shared?.get::<RefCell<Decoding>>()?.try_borrow().ok()?;
    let shape = facts.first()?.shape.eval_to_usize(symbols).ok()?;
    let (count, kind) = if op.is::<ops::CachedAttention>() {
        let &[beams, added, stride] = shape.as_slice() else { return None };
        let positions: usize = (1..=added).map(|index| decoding.cache.length() + index).sum();
        (beams * positions * 2 * (stride / 3), ComputeType::F32)
    } else if op.is::<ops::MemoryAttention>() {
        let memories = &decoding.memories;
        (2 * shape.iter().product::<usize>() * memories.length(), memories.products())
    } else {
        return None;
    };
    Some(match kind {
        ComputeType::F32 => Products { f32: count as u64, ..Products::default() },
        ComputeType::Bf16 => Products { bf16: count as u64, ..Products::default() },
    })
}
