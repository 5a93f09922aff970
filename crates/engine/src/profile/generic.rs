//! Matrix products that no rule put into an operator of ours.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use tract_onnx::tract_core::internal::*;

use super::products::{is_generic, products};

/// What every open axis is taken for, to weigh operators against each other: six seconds of frames.
const AXIS: i64 = 100;
/// Networks with fewer products are not hot: a hundredth of a second of one core at the most.
const HOT: u64 = 100_000_000;
/// What rules may leave: one in so many products.
const TOLERATED: u64 = 20;

/// Says in the log which products of a network that costs time were left to tract. It computes
/// right even so. Convolutions are tract's by design.
pub(crate) fn warn_if_generic(path: &Path, model: &TypedModel) {
    if let Some(operators) = left_generic(model) {
        tracing::warn!(
            model = %path.display(),
            operators,
            "no rule knows this way to write a network: it runs, but slower than it could"
        );
    }
}

/// Names the operators, if what they multiply matters.
pub(crate) fn left_generic(model: &TypedModel) -> Option<String> {
    let dims = model.nodes().iter().flat_map(|node| &node.outputs);
    let dims = dims.flat_map(|output| output.fact.shape.iter());
    let symbols = dims.flat_map(|dim| dim.symbols());
    let symbols = symbols.fold(SymbolValues::default(), |values, s| values.with(&s, AXIS));

    let (mut all, mut left) = (0, 0);
    let mut kinds = BTreeMap::<_, (usize, u64, &str)>::new();
    for node in model.nodes() {
        let Ok(facts) = model.node_input_facts(node.id) else { continue };
        let count = products(node, &facts, &symbols, None).total();
        all += count;
        let name = node.op.name();
        let product = name.contains("MatMul") || name.contains("EinSum");
        if is_generic(node.op.as_ref()) && (product || name == "Softmax") {
            left += if product { count } else { 0 };
            let kind = kinds.entry(name).or_insert((0, 0, node.name.as_str()));
            *kind = (kind.0 + 1, kind.1 + count, kind.2);
        }
    }
    if all < HOT || left * TOLERATED < all {
        return None;
    }
    let mut text = String::new();
    for (name, (count, _, first)) in kinds {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{count} {name} (the first is {first})");
    }
    Some(text)
}
