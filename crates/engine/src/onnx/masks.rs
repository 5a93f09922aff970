//! Folds padding masks away: in a batch of one they are all true.
//!
//! FunASR computes masks in floats as `Less(Range(0, max(lengths)), lengths)`, so that their shape
//! depends on data. If the lengths are known to cover their axis, the mask is constant, and so are
//! the tensors computed from it (`(1 - mask) * -10000`). A padding mask never changes the shape of the
//! data that it masks: `x * 1`, `x + 0` and `Where(false, y, x)` are `x`, whatever its shape. Where
//! the shape of the mask itself matters, a mask of known shape remains.

use std::{cell::RefCell, collections::HashMap};

use tract_onnx::tract_core::internal::*;

use super::{graph::Graph, names::ALL_TRUE, node::OnnxNode, tensors};

/// Maximum number of operators between a number and the inputs that it is computed from. Exports
/// have a dozen; the limit keeps hostile files from overflowing the stack.
const MAX_DEPTH: usize = 64;
/// Two numbers below this multiply without overflow.
const MAX_CONSTANT: f64 = 1e9;
/// The same limit for expressions of axes, which may grow with the length of the axis.
const MAX_COEFFICIENTS: f64 = 1024.0;

/// Shapes and lengths that are known before the graph runs, in symbols.
pub(super) struct KnownShapes<'a> {
    /// Tensors of lengths, with the full length of their axis.
    pub(super) lengths: HashMap<&'a str, TDim>,
    /// Shapes of the inputs.
    pub(super) inputs: HashMap<&'a str, TVec<TDim>>,
}

/// Replaces padding masks that are all true by constants, and removes the operators that apply
/// them.
pub(super) fn fold(graph: &mut Graph, known: &KnownShapes<'_>, outputs: &[&str]) {
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
            if let Some(same) = folding.aliases.get(input) {
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
                folding.aliases.insert(name, data);
                continue;
            }
        }
        graph.nodes.push(node);
    }
}

#[derive(Default)]
struct Folding {
    /// Masks, with the number that fills them.
    fills: HashMap<String, f64>,
    /// Masked tensors, with the tensor that they are equal to.
    aliases: HashMap<String, String>,
}

type Constants = HashMap<String, Arc<Tensor>>;

impl Folding {
    /// Returns the number that fills the output of `node`, if `node` computes a mask from masks.
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

    /// Returns the input that the output of `node` is equal to, if `node` applies a mask.
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
        // The output may have another shape than a constant.
        (!constants.contains_key(data) && fill(data).is_none()).then_some(data)
    }
}

/// Returns the indices of the nodes that compute masks that are all true, and their lengths.
fn full_masks(graph: &Graph, known: &KnownShapes<'_>) -> Vec<(usize, TDim)> {
    let numbers =
        Numbers { graph, producers: graph.producers(), known, computed: RefCell::default() };
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter_map(|(index, node)| Some((index, numbers.full_mask(node)?))).collect()
}

/// Numbers that fill tensors, as expressions of the symbols of axes.
struct Numbers<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    known: &'a KnownShapes<'a>,
    /// Results by tensor: `None` if no known number fills it.
    computed: RefCell<HashMap<String, Option<Number>>>,
}

#[derive(Clone)]
struct Number {
    value: TDim,
    /// Upper bound of the sum of its coefficients.
    size: f64,
}

impl<'a> Numbers<'a> {
    /// Returns the length of the mask `[1, length]` that `node` computes, if it is all true:
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
        // An unknown limit is the length of the axis, which the lengths cover.
        let covers = self.value(limit).is_none_or(|limit| limit == length);
        (from_zero && covers).then_some(length)
    }

    /// Returns the value of lengths that were unsqueezed to a column, `[1, 1]`.
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

    /// Returns the number that fills `tensor`, if it is known.
    fn value(&self, tensor: &str) -> Option<TDim> {
        self.number(tensor, MAX_DEPTH).map(|number| number.value)
    }

    /// Computes each tensor once: with two inputs per operator, the number of paths to a tensor is
    /// exponential.
    fn number(&self, tensor: &str, depth: usize) -> Option<Number> {
        if let Some(found) = self.computed.borrow().get(tensor) {
            return found.clone();
        }
        let number = depth.checked_sub(1).and_then(|depth| self.compute(tensor, depth));
        let number = number.filter(|number| {
            let is_known = number.value.as_i64().is_some();
            number.size < if is_known { MAX_CONSTANT } else { MAX_COEFFICIENTS }
        });
        self.computed.borrow_mut().insert(tensor.to_owned(), number.clone());
        number
    }

    /// Computes the number from the operators before `tensor`, at most `depth` of them in a row.
    fn compute(&self, tensor: &str, depth: usize) -> Option<Number> {
        if let Some(length) = self.known.lengths.get(tensor) {
            return Some(Number::new(length.clone()));
        }
        if let Some(constant) = self.graph.constants.get(tensor) {
            return uniform_integer(constant).map(Number::new);
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
                Some(proto) => uniform_integer(&tensors::tensor(proto).ok()?)?,
                None => 0.to_dim(),
            })),
            "Gather" => {
                let shape = self.producer(node.input(0)?).filter(|node| node.op() == "Shape")?;
                let dims = self.known.inputs.get(shape.input(0)?)?;
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
    /// Makes a number of a constant or a symbol.
    fn new(value: TDim) -> Self {
        let size = value.as_i64().map_or(1.0, |value| value.abs() as f64);
        Self { value, size }
    }
}

/// Returns the integer that fills a constant.
fn uniform_integer(constant: &Tensor) -> Option<TDim> {
    let value = constant.as_uniform()?.cast_to_scalar::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < MAX_CONSTANT).then(|| (value as i64).to_dim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a mask of `lengths` is folded, after `count` operators in a row that each
    /// use the output of the previous one `inputs` times.
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
        let known =
            KnownShapes { lengths: HashMap::from([("lengths", length)]), inputs: HashMap::new() };
        fold(&mut graph, &known, &["mask"]);
        graph.nodes.iter().any(|node| node.op() == ALL_TRUE)
    }

    /// No exporter writes such graphs, but a hostile file may hold them.
    #[test]
    fn numbers_are_computed_in_bounded_time_and_depth() {
        assert!(is_folded("Cast", 10, 1) && is_folded("Add", 5, 2));
        assert!(!is_folded("Add", 60, 2), "a too large number, over 2^60 paths");
        assert!(!is_folded("Cast", 100_000, 1), "too deep");
    }
}
