//! Fusion of the nodes that exporters split an operator into.
//!
//! A rule looks at one node as the last of a pattern, and returns the node that replaces the
//! pattern, with its position. The other nodes of the pattern are pruned if nothing else uses them.

mod attention;
mod fsmn;
mod layer_norm;
mod linear;
mod matcher;
mod truncate;

use self::matcher::Matcher;
use super::graph::Graph;

/// Applies all rules. `outputs` keep their names and values.
pub(super) fn fuse(graph: &mut Graph, outputs: &[&str]) {
    let rules = [
        linear::quantized_linear,
        linear::linear,
        layer_norm::layer_norm,
        attention::attention,
        fsmn::fsmn,
        truncate::truncate,
    ];
    for rule in rules {
        let fused = {
            let matcher = Matcher::new(graph, outputs);
            let indices = 0..graph.nodes.len();
            indices.filter_map(|index| rule(&matcher, index)).collect::<Vec<_>>()
        };
        for (index, node) in fused {
            graph.nodes[index] = node;
        }
        graph.prune(outputs);
    }
}
