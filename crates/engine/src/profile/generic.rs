//! Matrix products that no rule put into an operator of ours.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use tract_onnx::tract_core::internal::*;

use super::products::{is_generic, products};
use crate::OnnxNode;

/// What every open axis is taken for, to weigh operators against each other: six seconds of frames.
const AXIS: i64 = 100;
/// Networks with fewer products are not hot: a hundredth of a second of one core at the most.
const HOT: u64 = 100_000_000;
/// What rules may leave: one in so many products.
const TOLERATED: u64 = 20;
/// Operators that rules are there for. Convolutions are tract's by design.
const EXPECTED: [&str; 6] =
    ["DynamicQuantizeLinear", "Einsum", "Gemm", "MatMul", "MatMulInteger", "Softmax"];

/// A node that rules left as it was.
#[derive(Debug)]
pub(crate) struct Left {
    op: String,
    name: String,
}

pub(crate) fn left(nodes: &[OnnxNode]) -> Vec<Left> {
    let left = nodes.iter().filter(|node| EXPECTED.contains(&node.op()));
    left.map(|node| Left { op: node.op().to_owned(), name: node.name().to_owned() }).collect()
}

/// Says in the log which products of a network that costs time were left to tract. It computes
/// right even so. `model` is not yet optimized; `left` is of the nodes that it was made of.
pub(crate) fn warn_if_generic(path: &Path, model: &TypedModel, left: &[Left]) {
    if let Some(operators) = generic_operators(model, left, HOT) {
        tracing::warn!(
            model = %path.display(),
            operators,
            "no rule knows this way to write a network: it runs, but slower than it could"
        );
    }
}

/// Names what is `left`, if what it multiplies matters in a network of at least `hot` products.
pub(crate) fn generic_operators(model: &TypedModel, left: &[Left], hot: u64) -> Option<String> {
    if left.is_empty() {
        return None;
    }
    let dims = model.nodes().iter().flat_map(|node| &node.outputs);
    let dims = dims.flat_map(|output| output.fact.shape.iter());
    let symbols = dims.flat_map(|dim| dim.symbols());
    let symbols = symbols.fold(SymbolValues::default(), |values, s| values.with(&s, AXIS));

    let (mut all, mut generic) = (0, 0);
    for node in model.nodes() {
        let Ok(facts) = model.node_input_facts(node.id) else { continue };
        let count = products(node, &facts, &symbols, None).total();
        all += count;
        // tract's nodes are called after those that they are made of.
        let made_of_left = || left.iter().any(|left| node.name.starts_with(&left.name));
        if count > 0 && is_generic(node.op.as_ref()) && made_of_left() {
            generic += count;
        }
    }
    if all < hot || generic * TOLERATED < all {
        return None;
    }
    let mut kinds = BTreeMap::<_, (usize, &str)>::new();
    for Left { op, name } in left {
        kinds.entry(op).or_insert((0, name)).0 += 1;
    }
    let mut text = String::new();
    for (op, (count, first)) in kinds {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{count} {op} (the first is {first})");
    }
    Some(text)
}
