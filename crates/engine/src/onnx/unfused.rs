//! Finds matrix multiplications of an ONNX graph that no fusion rule matched.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use tract_onnx::tract_core::internal::*;

use super::node::OnnxNode;
use crate::{ops, profile::count_macs};

/// Length assumed for every open axis, to compare operators: six seconds of frames.
const ASSUMED_LENGTH: i64 = 100;
/// MACs from which the speed of a network matters: at most a hundredth of a second on one core.
const MIN_MACS: u64 = 100_000_000;
/// Unfused MACs are tolerated below one in this many.
const TOLERATED: u64 = 20;
/// Operators that fusion rules should replace. Convolutions are left to tract by design.
const EXPECTED: [&str; 6] =
    ["DynamicQuantizeLinear", "Einsum", "Gemm", "MatMul", "MatMulInteger", "Softmax"];

/// A node that should have been fused, but that no rule matched.
#[derive(Debug)]
pub(super) struct UnfusedNode {
    op: String,
    name: String,
}

/// Returns the nodes that should have been fused.
pub(super) fn unfused_nodes(nodes: &[OnnxNode]) -> Vec<UnfusedNode> {
    let unfused = nodes.iter().filter(|node| EXPECTED.contains(&node.op()));
    // tract names a node without a name after its output.
    let name = |node: &OnnxNode| match node.name() {
        "" => node.output().to_owned(),
        name => name.to_owned(),
    };
    unfused.map(|node| UnfusedNode { op: node.op().to_owned(), name: name(node) }).collect()
}

/// Logs a warning if a large network leaves a considerable part of its matrix multiplications to
/// tract. Results are correct even so. `model` is not optimized yet; `unfused` are nodes of the
/// graph that it was made from.
pub(super) fn warn_if_unfused(path: &Path, model: &TypedModel, unfused: &[UnfusedNode]) {
    if let Some(operators) = report_unfused(model, unfused, MIN_MACS) {
        tracing::warn!(
            model = %path.display(),
            operators,
            "no fusion rule matches some operators: the network runs, but slower than it could"
        );
    }
}

/// Lists the `unfused` nodes by kind, if the network has at least `min_macs` MACs and they are a
/// considerable part of them.
pub(super) fn report_unfused(
    model: &TypedModel,
    unfused: &[UnfusedNode],
    min_macs: u64,
) -> Option<String> {
    if unfused.is_empty() {
        return None;
    }
    let dims = model.nodes().iter().flat_map(|node| &node.outputs);
    let dims = dims.flat_map(|output| output.fact.shape.iter());
    let symbols = dims.flat_map(|dim| dim.symbols());
    let symbols =
        symbols.fold(SymbolValues::default(), |values, s| values.with(&s, ASSUMED_LENGTH));

    let (mut all, mut generic) = (0, 0);
    for node in model.nodes() {
        let Ok(facts) = model.node_input_facts(node.id) else { continue };
        let count = count_macs(node, &facts, &symbols, None).total();
        all += count;
        // The names of tract's nodes begin with the name of the ONNX node they come from.
        let is_unfused = || unfused.iter().any(|unfused| node.name.starts_with(&unfused.name));
        if count > 0 && ops::is_generic(node.op.as_ref()) && is_unfused() {
            generic += count;
        }
    }
    if all < min_macs || generic * TOLERATED < all {
        return None;
    }
    let mut kinds = BTreeMap::<_, (usize, &str)>::new();
    for UnfusedNode { op, name } in unfused {
        kinds.entry(op).or_insert((0, name)).0 += 1;
    }
    let mut text = String::new();
    for (op, (count, first)) in kinds {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{count} {op} (the first is {first})");
    }
    Some(text)
}
