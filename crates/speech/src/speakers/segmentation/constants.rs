//! Values that do not depend on a network's input, also where nodes compute them.
//!
//! Exporters compute most of these themselves, but not all: files of 16-bit weights widen them by
//! Cast, and a bank of filters may be left as the sines of its frequencies.

use engine::{OnnxFile, OnnxNode, Tensor};

use super::array::Array;

/// Most nodes that compute one array. The bank of filters takes 40.
const MAX_NODES: usize = 256;

/// Returns the input of a node at `index`, which must not depend on the inputs of the network.
pub(super) fn array(file: &OnnxFile, node: &OnnxNode, index: usize) -> Result<Array, String> {
    let tensor =
        node.input(index).ok_or_else(|| format!("`{}` lacks input {index}", node.name()))?;
    let array = Evaluation { file, nodes: 0 }.tensor(tensor)?;
    match array.values.iter().all(|value| value.is_finite()) {
        true => Ok(array),
        false => Err(format!("`{tensor}` is not finite: the file is damaged, download it again")),
    }
}

struct Evaluation<'a> {
    file: &'a OnnxFile,
    /// Nodes so far; limits depth and time.
    nodes: usize,
}

impl Evaluation<'_> {
    fn tensor(&mut self, tensor: &str) -> Result<Array, String> {
        if let Some(constant) = self.file.constant(tensor) {
            let damaged = || format!("`{tensor}` is damaged or too large");
            return widened(constant).ok_or_else(damaged);
        }
        let node = self.file.producer(tensor);
        let node = node.ok_or_else(|| format!("the weights `{tensor}` are missing"))?;
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} nodes compute the weights `{tensor}`"));
        }
        self.node(node)?.ok_or_else(|| {
            format!("{} computes the weights `{tensor}` in a way not supported", node.op())
        })
    }

    /// Computes the output of a node, `None` if it is not supported.
    fn node(&mut self, node: &OnnxNode) -> Result<Option<Array>, String> {
        let arrays = match node.op() {
            // Their other inputs are integers.
            "Clip" | "Gather" | "Reshape" | "Slice" | "Squeeze" | "Unsqueeze" => 1,
            _ => node.inputs().len(),
        };
        let names = node.inputs().iter().take(arrays);
        let arrays: Vec<Array> = names.map(|name| self.tensor(name)).collect::<Result<_, _>>()?;
        let ints = |index| node.input(index).and_then(|name| integers(self.file, name));
        // Lists that old versions of ONNX have as attributes, and new ones as inputs.
        let list = |attribute: &str, index| {
            node.ints(attribute).map(<[i64]>::to_vec).or_else(|| ints(index))
        };
        Ok(match (node.op(), &arrays[..]) {
            ("Cast" | "Identity", [x]) => Some(x.clone()),
            ("Abs", [x]) => Some(x.clone().map(f32::abs)),
            ("Neg", [x]) => Some(x.clone().map(|x| -x)),
            // In f64, as sines of large angles lose digits.
            ("Sin", [x]) => Some(x.clone().map(|x| f64::from(x).sin() as f32)),
            ("Cos", [x]) => Some(x.clone().map(|x| f64::from(x).cos() as f32)),
            ("Add", [a, b]) => a.combine(b, |a, b| a + b),
            ("Sub", [a, b]) => a.combine(b, |a, b| a - b),
            ("Mul", [a, b]) => a.combine(b, |a, b| a * b),
            ("Div", [a, b]) => a.combine(b, |a, b| a / b),
            ("Clip", [x]) => self.clip(node, x),
            ("MatMul", [a, b]) => a.multiply(b),
            ("Concat", arrays) => {
                node.int("axis").and_then(|axis| Array::concatenate(arrays, axis))
            }
            ("Gather", [x]) => {
                // One entry, whose axis disappears.
                let axis = node.int("axis").unwrap_or(0);
                let scalar = |name| self.file.constant(name).is_some_and(|t| t.shape().is_empty());
                let index = ints(1).filter(|_| node.input(1).is_some_and(scalar));
                index.as_deref().and_then(|index| match *index {
                    [at] => {
                        let end = if at == -1 { i64::MAX } else { at.checked_add(1)? };
                        x.slice(axis, at, end, 1)?.with_axes(&[axis], true)
                    }
                    _ => None,
                })
            }
            ("Reshape", [x]) => ints(1).and_then(|shape| x.clone().reshape(&shape)),
            ("Slice", [x]) => {
                slice(x, list("starts", 1), list("ends", 2), list("axes", 3), ints(4))
            }
            ("Squeeze", [x]) => list("axes", 1).and_then(|axes| x.clone().with_axes(&axes, true)),
            ("Transpose", [x]) => node.ints("perm").and_then(|order| x.transpose(order)),
            ("Unsqueeze", [x]) => {
                list("axes", 1).and_then(|axes| x.clone().with_axes(&axes, false))
            }
            _ => None,
        })
    }

    fn clip(&self, node: &OnnxNode, x: &Array) -> Option<Array> {
        let limit = |attribute: &str, index, default| match node.input(index) {
            Some(name) => self.file.constant(name).and_then(widened)?.values.first().copied(),
            None => Some(node.float(attribute).unwrap_or(default)),
        };
        let low = limit("min", 1, f32::NEG_INFINITY)?;
        let high = limit("max", 2, f32::INFINITY)?;
        (low <= high).then(|| x.clone().map(|x| x.clamp(low, high)))
    }
}

fn slice(
    x: &Array,
    starts: Option<Vec<i64>>,
    ends: Option<Vec<i64>>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
) -> Option<Array> {
    let (starts, ends) = (starts?, ends?);
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return None;
    }
    let mut sliced = x.clone();
    for (index, axis) in axes.into_iter().enumerate() {
        sliced = sliced.slice(axis, starts[index], ends[index], steps[index])?;
    }
    Some(sliced)
}

fn widened(tensor: &Tensor) -> Option<Array> {
    let floats = tensor.cast_to::<f32>().ok()?;
    let values = engine::values::<f32>(&floats).ok()?.to_vec();
    Array::new(tensor.shape().to_vec(), values)
}

fn integers(file: &OnnxFile, tensor: &str) -> Option<Vec<i64>> {
    let integers = file.constant(tensor)?.cast_to::<i64>().ok()?;
    Some(engine::values::<i64>(&integers).ok()?.to_vec())
}
