//! Goes through the nodes of the network's file, one after the other.

use std::iter::Peekable;

use engine::{OnnxFile, OnnxNode, Tensor};

use super::constants;

/// Operators between layers that move values without computing any, and those that compute shapes.
const PLUMBING: [&str; 13] = [
    "Cast",
    "Concat",
    "ConstantOfShape",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Shape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The nodes between the input and the output that compute values, and how far they have been read.
pub(super) struct Reader<'a> {
    file: &'a OnnxFile,
    /// Nodes that compute values, in order.
    nodes: Peekable<std::vec::IntoIter<&'a OnnxNode>>,
    /// The tensor that the last layer computed.
    last: String,
}

impl<'a> Reader<'a> {
    /// Begins at the input with this name.
    pub(super) fn new(file: &'a OnnxFile, input: &str) -> Self {
        let nodes = file.downstream(input).into_iter();
        let nodes: Vec<_> = nodes.filter(|node| !PLUMBING.contains(&node.op())).collect();
        Self { file, nodes: nodes.into_iter().peekable(), last: input.to_owned() }
    }

    /// Returns the file.
    pub(super) fn file(&self) -> &'a OnnxFile {
        self.file
    }

    /// Returns the next node, of whatever kind.
    pub(super) fn rest(&mut self) -> Option<&'a OnnxNode> {
        self.nodes.next()
    }

    /// Returns whether a tensor has the values that the last node computed.
    pub(super) fn ends_at(&self, tensor: &'a str) -> bool {
        self.origin(tensor) == self.last
    }

    /// Returns whether the next node is of this kind.
    pub(super) fn is_next(&mut self, op: &str) -> bool {
        self.nodes.peek().is_some_and(|node| node.op() == op)
    }

    /// Takes the next node, which must be of this kind and continue the last one.
    pub(super) fn next(&mut self, op: &str) -> Result<&'a OnnxNode, String> {
        let node = self.nodes.next().ok_or_else(|| foreign(&format!("it lacks its {op}")))?;
        if node.op() != op {
            let (name, found) = (node.name(), node.op());
            return Err(foreign(&format!("`{name}` is {found} where {op} is expected")));
        }
        if !node.inputs().iter().any(|input| self.origin(input) == self.last) {
            return Err(foreign(&format!("`{}` does not continue the layer before", node.name())));
        }
        self.last = node.output().to_owned();
        Ok(node)
    }

    /// Returns the tensor that `tensor` has the values of.
    fn origin(&self, tensor: &'a str) -> &'a str {
        let moves = ["Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];
        let mut tensor = tensor;
        while let Some(node) = self.file.producer(tensor).filter(|node| moves.contains(&node.op()))
            && let Some(input) = node.input(0)
        {
            tensor = input;
        }
        tensor
    }

    /// Returns the values of a constant input, which must have this shape.
    pub(super) fn array(
        &self,
        node: &OnnxNode,
        index: usize,
        shape: &[usize],
    ) -> Result<Vec<f32>, String> {
        let array = constants::array(self.file, node, index)?;
        if array.shape != shape {
            let (name, found) = (node.input(index).unwrap_or(""), array.shape);
            return Err(foreign(&format!("`{name}` is {found:?}, not {shape:?}")));
        }
        Ok(array.values)
    }

    /// Returns whether a state, of whatever batch, is zero.
    pub(super) fn is_zero(&self, state: &str) -> bool {
        let mut state = state;
        while let Some(node) = self.file.producer(state) {
            match (node.op(), node.input(0)) {
                ("ConstantOfShape", _) => {
                    return node.constant("value").is_none_or(|value| is_zero(&value));
                }
                (
                    "Slice" | "Expand" | "Cast" | "Identity" | "Squeeze" | "Unsqueeze",
                    Some(input),
                ) => {
                    state = input;
                }
                _ => return false,
            }
        }
        self.file.constant(state).is_some_and(is_zero)
    }
}

fn is_zero(tensor: &Tensor) -> bool {
    tensor.cast_to::<f32>().is_ok_and(|floats| {
        engine::values::<f32>(&floats).is_ok_and(|values| values.iter().all(|&value| value == 0.0))
    })
}

/// Describes a file that holds another network.
pub(super) fn foreign(why: &str) -> String {
    format!("is not a network like segmentation-3.0: {why}")
}
