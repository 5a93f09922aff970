//! Padding masks of a batch of one are all true: they are folded away.
//!
//! FunASR makes them by `Less(Range(0, max(lengths)), lengths)`, in floats, which leaves their
//! shape to the data. Where the lengths are known to span their axis, that is a constant, and so is
//! what follows from it (`(1 - mask) * -10000`). Padding masks never change the shape of what they
//! mask: `x * 1`, `x + 0` and `Where(false, y, x)` are `x`, whatever its shape. Where a mask's own
//! shape matters it stays, with a shape that is known.

use std::{cell::RefCell, collections::HashMap};

use tract_onnx::tract_core::internal::*;

use super::{OnnxNode, graph::Graph};

/// The operator that makes a mask of a given shape.
pub(super) const ALL_TRUE: &str = "scriptorium.AllTrue";

/// How many operators may lie between a number and what it is computed from. Exports have a dozen;
/// recursion is not to overflow the stack, whatever the file.
const DEEPEST: usize = 64;
/// Two numbers below it multiply without overflow.
const LARGEST: f64 = 1e9;
/// The same for what depends on an axis, whose expression may grow with it.
const LARGEST_OF_AXES: f64 = 1024.0;

/// What is known before the graph runs.
pub(super) struct Known<'a> {
    /// Tensors of lengths, and how long all of their axis is.
    pub(super) lengths: HashMap<&'a str, TDim>,
    /// Of tensors that are given.
    pub(super) shapes: HashMap<&'a str, TVec<TDim>>,
}

pub(super) fn fold(graph: &mut Graph, known: &Known<'_>, outputs: &[&str]) {
    let mut full = full_masks(graph, known).into_iter().peekable();
    let mut folding = Folding::default();
    let nodes = std::mem::take(&mut graph.nodes);
    for (index, mut node) in nodes.into_iter().enumerate() {
        if let Some((_, length)) = full.next_if(|(mask, _)| *mask == index) {
            let mask = node.output().to_owned();
            let shape = format!("{mask}@shape");
            let dims = tensor1(&[1.to_dim(), length]);
            graph.constants.insert(shape.clone(), dims.into_arc_tensor());
            graph.nodes.push(OnnxNode::with(ALL_TRUE, &[&shape], &mask));
            folding.fills.insert(mask, 1.0);
            continue;
        }
        for input in &mut node.proto.input {
            if let Some(same) = folding.same.get(input) {
                input.clone_from(same);
            }
        }
        if let Some(value) = folding.filled(&node, &graph.constants) {
            folding.fills.insert(node.output().to_owned(), value);
        } else if let Some(data) = folding.unmasked(&node, &graph.constants) {
            let (name, data) = (node.output().to_owned(), data.to_owned());
            if outputs.contains(&name.as_str()) {
                node = OnnxNode::with("Identity", &[&data], &name);
            } else {
                folding.same.insert(name, data);
                continue;
            }
        }
        graph.nodes.push(node);
    }
}

#[derive(Default)]
struct Folding {
    /// Masks, and the number that fills them.
    fills: HashMap<String, f64>,
    /// Tensors that are another, unmasked.
    same: HashMap<String, String>,
}

type Constants = HashMap<String, Arc<Tensor>>;

impl Folding {
    /// What fills the output of `node`, if it turns masks into another.
    fn filled(&self, node: &OnnxNode, constants: &Constants) -> Option<f64> {
        let fill = |index: usize| {
            let name = node.input(index)?;
            let one = |constant: &&Arc<Tensor>| constant.len() == 1;
            let constant = || constants.get(name).filter(one)?.cast_to_scalar().ok();
            self.fills.get(name).copied().or_else(constant)
        };
        let truth = |truth: bool| f64::from(u8::from(truth));
        if !node.inputs().iter().any(|name| self.fills.contains_key(name)) {
            return None;
        }
        Some(match node.op() {
            "Cast" | "Expand" | "Identity" | "Reshape" | "Squeeze" | "Tile" | "Transpose"
            | "Unsqueeze" => *self.fills.get(node.input(0)?)?,
            "Neg" => -fill(0)?,
            "Not" => 1.0 - fill(0)?,
            "Add" => fill(0)? + fill(1)?,
            "And" | "Mul" => fill(0)? * fill(1)?,
            "Equal" => truth(fill(0)? == fill(1)?),
            "Or" => fill(0)?.max(fill(1)?),
            "Sub" => fill(0)? - fill(1)?,
            _ => return None,
        })
    }

    /// The data that comes out of `node` as it went in.
    fn unmasked<'a>(&self, node: &'a OnnxNode, constants: &Constants) -> Option<&'a str> {
        let (first, second) = (node.input(0)?, node.input(1)?);
        let fill = |name: &str| self.fills.get(name).copied();
        let data = match (node.op(), fill(first), fill(second)) {
            ("Mul" | "And", Some(1.0), None) | ("Add", Some(0.0), None) => second,
            ("Mul" | "And" | "Div", None, Some(1.0)) | ("Add" | "Sub", None, Some(0.0)) => first,
            ("Where", Some(0.0), _) => node.input(2)?,
            ("Where", Some(_), None) => second,
            _ => return None,
        };
        // A constant may well have another shape than what comes out.
        (!constants.contains_key(data) && fill(data).is_none()).then_some(data)
    }
}

/// The masks that are all true, by the index of their node, and their lengths.
fn full_masks(graph: &Graph, known: &Known<'_>) -> Vec<(usize, TDim)> {
    let found = RefCell::default();
    let values = Values { graph, producers: graph.producers(), known, found };
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter_map(|(index, node)| Some((index, values.full_mask(node)?))).collect()
}

struct Values<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    known: &'a Known<'a>,
    /// By tensor, if it is known.
    found: RefCell<HashMap<String, Option<Number>>>,
}

#[derive(Clone)]
struct Number {
    value: TDim,
    /// Bounds the sum of its coefficients.
    size: f64,
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
        self.number(tensor, DEEPEST).map(|number| number.value)
    }

    /// Each tensor is looked at once: with two inputs to each operator, ways to it are many.
    fn number(&self, tensor: &str, depth: usize) -> Option<Number> {
        if let Some(found) = self.found.borrow().get(tensor) {
            return found.clone();
        }
        let number = depth.checked_sub(1).and_then(|depth| self.compute(tensor, depth));
        let number = number.filter(|number| {
            let is_known = number.value.as_i64().is_some();
            number.size < if is_known { LARGEST } else { LARGEST_OF_AXES }
        });
        self.found.borrow_mut().insert(tensor.to_owned(), number.clone());
        number
    }

    /// `depth`: how much further it may go.
    fn compute(&self, tensor: &str, depth: usize) -> Option<Number> {
        if let Some(length) = self.known.lengths.get(tensor) {
            return Some(Number::new(length.clone()));
        }
        if let Some(constant) = self.graph.constants.get(tensor) {
            return whole(constant).map(Number::new);
        }
        let node = self.producer(tensor)?;
        let input = |index| self.number(node.input(index)?, depth);
        match node.op() {
            "Cast" | "Expand" | "Identity" | "ReduceMax" | "ReduceMin" | "Reshape" | "Squeeze"
            | "Tile" | "Unsqueeze" => input(0),
            "Add" | "Sub" => {
                let (a, b) = (input(0)?, input(1)?);
                let value = if node.op() == "Add" { a.value + b.value } else { a.value - b.value };
                Some(Number { value, size: a.size + b.size })
            }
            "Mul" => {
                let (a, b) = (input(0)?, input(1)?);
                let size = a.size * b.size;
                match (a.value, b.value) {
                    (TDim::Val(factor), other) | (other, TDim::Val(factor)) => {
                        Some(Number { value: other * factor, size })
                    }
                    _ => None,
                }
            }
            "ConstantOfShape" => Some(Number::new(match node.tensor("value") {
                Some(proto) => whole(&super::translate::tensor(proto).ok()?)?,
                None => 0.to_dim(),
            })),
            "Gather" => {
                let shape = self.producer(node.input(0)?).filter(|node| node.op() == "Shape")?;
                let dims = self.known.shapes.get(shape.input(0)?)?;
                let axis = input(1)?.value.to_i64().ok()?;
                let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
                dims.get(usize::try_from(axis).ok()?).cloned().map(Number::new)
            }
            _ => None,
        }
    }

    fn producer(&self, tensor: &str) -> Option<&'a OnnxNode> {
        self.producers.get(tensor).map(|&index| &self.graph.nodes[index])
    }
}

impl Number {
    /// A constant, or a symbol.
    fn new(value: TDim) -> Self {
        let size = value.as_i64().map_or(1.0, |value| value.abs() as f64);
        Self { value, size }
    }
}

/// The whole number that fills a constant.
fn whole(constant: &Tensor) -> Option<TDim> {
    let value = constant.as_uniform()?.cast_to_scalar::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < LARGEST).then(|| (value as i64).to_dim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of `lengths`, worked out by way of `count` operators that take `inputs` times the one
    /// before. Whether it was found all true.
    fn is_folded(op: &str, count: usize, inputs: usize) -> bool {
        let names: Vec<String> = (0..=count).map(|index| format!("t{index}")).collect();
        let mut nodes = vec![OnnxNode::with("Cast", &["lengths"], &names[0])];
        for pair in names.windows(2) {
            nodes.push(OnnxNode::with(op, &vec![pair[0].as_str(); inputs], &pair[1]));
        }
        nodes.push(OnnxNode::with("Unsqueeze", &[&names[count], "last"], "column"));
        nodes.push(OnnxNode::with("Range", &["zero", &names[count], "one"], "positions"));
        nodes.push(OnnxNode::with("Less", &["positions", "column"], "mask"));
        let constants =
            [("zero", tensor0(0i64)), ("one", tensor0(1i64)), ("last", tensor1(&[-1i64]))];
        let constants =
            constants.map(|(name, value)| (name.to_owned(), value.into_arc_tensor())).into();
        let mut graph = Graph::new(nodes, constants).expect("a graph");
        let scope = SymbolScope::default();
        let length = scope.sym("n").to_dim();
        let known = Known { lengths: HashMap::from([("lengths", length)]), shapes: HashMap::new() };
        fold(&mut graph, &known, &["mask"]);
        graph.nodes.iter().any(|node| node.op() == ALL_TRUE)
    }

    /// Nobody exports such graphs, but a file may hold them.
    #[test]
    fn numbers_are_worked_out_in_bounded_time_and_depth() {
        assert!(is_folded("Cast", 10, 1) && is_folded("Add", 5, 2));
        assert!(!is_folded("Add", 60, 2), "too large a number, by 2^60 ways");
        assert!(!is_folded("Cast", 100_000, 1), "too deep");
    }
}
