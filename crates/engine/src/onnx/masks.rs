//! Padding masks of a batch of one are all true: they are folded away.
//!
//! FunASR makes them by `Less(Range(0, max(lengths)), lengths)`, in floats, which leaves their
//! shape to the data. Where the lengths are known to span their axis, that is a constant, and so is
//! what follows from it (`(1 - mask) * -10000`). As far as masks only meet data by broadcasting,
//! one element does: no axis has to be known, and `x * 1` and `x + 0` are then easily seen to be
//! nothing at all. Padding masks never change the shape of what they mask.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;

use super::{OnnxNode, graph::Graph};

/// The operator that makes a mask of a given shape.
pub(super) const ALL_TRUE: &str = "scriptorium.AllTrue";

/// What is known before the graph runs.
pub(super) struct Known<'a> {
    /// Tensors of lengths, and how long all of their axis is.
    pub(super) lengths: HashMap<&'a str, TDim>,
    /// Of tensors that are given.
    pub(super) shapes: HashMap<&'a str, TVec<TDim>>,
}

pub(super) fn fold(graph: &mut Graph, known: &Known<'_>) {
    let full = full_masks(graph, known);
    let mut twins: HashMap<String, String> = HashMap::new();
    let nodes = std::mem::take(&mut graph.nodes);
    let mut full = full.into_iter().peekable();
    for (index, mut node) in nodes.into_iter().enumerate() {
        if let Some((_, length)) = full.next_if(|(mask, _)| *mask == index) {
            let mask = node.output().to_owned();
            let shape = format!("{mask}@shape");
            let dims = tensor1(&[1.to_dim(), length]);
            graph.constants.insert(shape.clone(), dims.into_arc_tensor());
            let twin = format!("{mask}@one");
            graph.constants.insert(twin.clone(), tensor2(&[[true]]).into_arc_tensor());
            graph.nodes.push(OnnxNode::with(ALL_TRUE, &[&shape], &mask));
            twins.insert(mask, twin);
            continue;
        }
        match part(&node, &twins, &graph.constants) {
            Part::None => {}
            Part::Meets => {
                for input in &mut node.proto.input {
                    if let Some(twin) = twins.get(input) {
                        input.clone_from(twin);
                    }
                }
            }
            Part::Mask => {
                let mut twin = node.clone();
                twin.proto.name.push_str("@one");
                twin.proto.output[0].push_str("@one");
                for input in &mut twin.proto.input {
                    if let Some(of_input) = twins.get(input) {
                        input.clone_from(of_input);
                    }
                }
                twins.insert(node.output().to_owned(), twin.output().to_owned());
                graph.nodes.push(twin);
            }
        }
        graph.nodes.push(node);
    }
}

/// What a node has to do with masks.
enum Part {
    /// Nothing, or it looks at their shape.
    None,
    /// It turns a mask into another.
    Mask,
    /// A mask meets data.
    Meets,
}

fn part(
    node: &OnnxNode,
    masks: &HashMap<String, String>,
    constants: &HashMap<String, Arc<Tensor>>,
) -> Part {
    let is_mask = |name: &String| masks.contains_key(name);
    if !node.inputs().iter().any(is_mask) || node.outputs().len() != 1 {
        return Part::None;
    }
    let has_axes = || node.input(1).is_some() || node.ints("axes").is_some();
    match node.op() {
        "Cast" | "Identity" | "Neg" | "Not" | "Transpose" => Part::Mask,
        "Squeeze" | "Unsqueeze" if has_axes() && is_mask(&node.inputs()[0]) => Part::Mask,
        "Add" | "And" | "Div" | "Equal" | "Mul" | "Or" | "Sub" | "Where" => {
            let mut others = node.inputs().iter().filter(|name| !is_mask(name)).peekable();
            let one = |name: &String| constants.get(name).is_some_and(|value| value.len() == 1);
            match () {
                () if others.clone().all(one) => Part::Mask,
                // Of another constant it is not known here whether it has the shape of the data.
                () if others.any(|name| !constants.contains_key(name)) => Part::Meets,
                () => Part::None,
            }
        }
        _ => Part::None,
    }
}

/// The masks that are all true, by the index of their node, and their lengths.
fn full_masks(graph: &Graph, known: &Known<'_>) -> Vec<(usize, TDim)> {
    let values = Values { graph, producers: graph.producers(), known };
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter_map(|(index, node)| Some((index, values.full_mask(node)?))).collect()
}

struct Values<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    known: &'a Known<'a>,
}

impl<'a> Values<'a> {
    /// The length of the mask `[1, length]` that `node` makes, if it is all true:
    /// `Less([0, 1, ..], [[length]])`.
    fn full_mask(&self, node: &OnnxNode) -> Option<TDim> {
        if node.op() != "Less" {
            return None;
        }
        let length = self.column(node.input(1)?)?;
        let mut positions = self.producer(node.input(0)?)?;
        while matches!(positions.op(), "Cast" | "Identity") {
            positions = self.producer(positions.input(0)?)?;
        }
        let [start, limit, step] = positions.inputs() else { return None };
        let from_zero = positions.op() == "Range"
            && self.value(start)? == 0.to_dim()
            && self.value(step)? == 1.to_dim();
        // A limit that is not known is the length of the axis, which the lengths span.
        let spans = self.value(limit).is_none_or(|limit| limit == length);
        (from_zero && spans).then_some(length)
    }

    /// The value of lengths that became a column, `[1, 1]`.
    fn column(&self, tensor: &str) -> Option<TDim> {
        let mut node = self.producer(tensor)?;
        while matches!(node.op(), "Cast" | "Identity") {
            node = self.producer(node.input(0)?)?;
        }
        let axes = node.input(1).and_then(|axes| self.graph.constants.get(axes));
        let axis = match axes {
            Some(axes) => axes.cast_to_scalar::<i64>().ok()?,
            None => *node.ints("axes")?.first()?,
        };
        let is_column = node.op() == "Unsqueeze" && matches!(axis, -1 | 1);
        self.value(node.input(0)?).filter(|_| is_column)
    }

    /// The number that fills `tensor`, if it is known.
    fn value(&self, tensor: &str) -> Option<TDim> {
        if let Some(length) = self.known.lengths.get(tensor) {
            return Some(length.clone());
        }
        if let Some(constant) = self.graph.constants.get(tensor) {
            return whole(constant);
        }
        let node = self.producer(tensor)?;
        let input = |index| self.value(node.input(index)?);
        match node.op() {
            "Cast" | "Expand" | "Identity" | "ReduceMax" | "ReduceMin" | "Reshape" | "Squeeze"
            | "Tile" | "Unsqueeze" => input(0),
            "Add" => Some(input(0)? + input(1)?),
            "Sub" => Some(input(0)? - input(1)?),
            "Mul" => match (input(0)?, input(1)?) {
                (TDim::Val(factor), other) | (other, TDim::Val(factor)) => Some(other * factor),
                _ => None,
            },
            "ConstantOfShape" => match node.tensor("value") {
                Some(proto) => whole(&super::translate::tensor(proto, None).ok()?),
                None => Some(0.to_dim()),
            },
            "Gather" => {
                let shape = self.producer(node.input(0)?).filter(|node| node.op() == "Shape")?;
                let dims = self.known.shapes.get(shape.input(0)?)?;
                let axis = input(1)?.to_i64().ok()?;
                let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
                dims.get(usize::try_from(axis).ok()?).cloned()
            }
            _ => None,
        }
    }

    fn producer(&self, tensor: &str) -> Option<&'a OnnxNode> {
        self.producers.get(tensor).map(|&index| &self.graph.nodes[index])
    }
}

/// The whole number that fills a constant.
fn whole(constant: &Tensor) -> Option<TDim> {
    let value = constant.as_uniform()?.cast_to_scalar::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < 1e9).then(|| (value as i64).to_dim())
}
