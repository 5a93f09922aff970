//! Linear layers in bfloat16.

use super::{graph::Graph, names};

/// Layers of fewer outputs stay in f32. They take no time, and a threshold on their output may
/// decide much: Paraformer's predictor decides by one whether a token fires.
const MIN_OUTPUTS: usize = 16;

/// Marks the linear layers of a graph, except those of few outputs, to compute in bfloat16.
pub(super) fn mark_linear_layers(graph: &mut Graph) {
    let Graph { nodes, constants, .. } = graph;
    for node in nodes.iter_mut().filter(|node| node.op() == names::LINEAR) {
        let weights = node.input(1).and_then(|weights| constants.get(weights));
        let outputs = weights.and_then(|weights| weights.shape().last().copied());
        if outputs.is_some_and(|outputs| outputs >= MIN_OUTPUTS) {
            node.set_int(names::BF16, 1);
        }
    }
}
