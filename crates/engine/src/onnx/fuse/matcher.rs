//! Access to a graph for fusion rules.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;

use crate::onnx::{graph::Graph, node::OnnxNode};

/// Result of a rule: a fused node, and the index of the node that it replaces.
pub(super) type Fused = Option<(usize, OnnxNode)>;

/// A graph, with the producer and the consumers of each tensor.
pub(super) struct Matcher<'a> {
    graph: &'a Graph,
    outputs: &'a [&'a str],
    producers: HashMap<&'a str, usize>,
    consumers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(graph: &'a Graph, outputs: &'a [&'a str]) -> Self {
        let (producers, consumers) = (graph.producers(), graph.consumers());
        Self { graph, outputs, producers, consumers }
    }

    pub(super) fn node(&self, index: usize) -> &'a OnnxNode {
        &self.graph.nodes[index]
    }

    /// Returns the node at `index`, if it is an `op`.
    pub(super) fn node_of(&self, index: usize, op: &str) -> Option<&'a OnnxNode> {
        Some(self.node(index)).filter(|node| node.op() == op)
    }

    /// Returns the node that computes `tensor`, if it is an `op`.
    pub(super) fn producer(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        self.node_of(*self.producers.get(tensor)?, op)
    }

    /// Returns the only node that uses `tensor`, if it is an `op` and the tensor is not an output.
    pub(super) fn consumer(&self, tensor: &str, op: &str) -> Option<usize> {
        let [index] = self.consumers.get(tensor)?[..] else { return None };
        let fits = self.node(index).op() == op && !self.outputs.contains(&tensor);
        fits.then_some(index)
    }

    pub(super) fn constant(&self, tensor: &str) -> Option<&'a Tensor> {
        self.graph.constants.get(tensor).map(Arc::as_ref)
    }

    /// Returns an f32 constant of one axis.
    pub(super) fn vector(&self, tensor: &str) -> Option<&'a Tensor> {
        self.constant(tensor)
            .filter(|value| value.rank() == 1 && value.datum_type() == f32::datum_type())
    }

    /// Returns the value of a constant of one element.
    pub(super) fn scalar(&self, tensor: &str) -> Option<f32> {
        self.constant(tensor).filter(|value| value.len() == 1)?.cast_to_scalar().ok()
    }

    /// Returns the value of a constant of one element as an integer.
    pub(super) fn integer(&self, tensor: &str) -> Option<i64> {
        self.constant(tensor).filter(|value| value.len() == 1)?.cast_to_scalar().ok()
    }

    /// Returns the two inputs of a commutative `node`, first the one for which `is_first` holds.
    pub(super) fn operands(
        &self,
        node: &'a OnnxNode,
        is_first: impl Fn(&str) -> bool,
    ) -> Option<(&'a str, &'a str)> {
        let [a, b] = node.inputs() else { return None };
        if is_first(a) {
            Some((a, b))
        } else if is_first(b) {
            Some((b, a))
        } else {
            None
        }
    }

    /// Returns the tensor that `tensor` is a transpose of, by `order` of the axes.
    pub(super) fn transposed(&self, tensor: &str, order: &[i64]) -> Option<&'a str> {
        let node = self.producer(tensor, "Transpose")?;
        node.input(0).filter(|_| node.ints("perm") == Some(order))
    }
}
