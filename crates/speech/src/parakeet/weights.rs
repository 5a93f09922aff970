//! Reads weights of the prediction network and the joint network from an ONNX file.
//!
//! Exporters name tensors as they like, so layers are found by walking from an output to its inputs.

use engine::{Linear, OnnxFile, OnnxNode, Precision, Tensor};
use kernels::{
    dynamic::{QuantizationParameters, quantize_columns},
    lstm::Lstm,
};

/// Operators that move or convert values without computing any.
const PLUMBING: [&str; 6] = ["Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];
/// Limit on the sizes of layers; the largest has 8,198 outputs.
const MAX_WIDTH: usize = 1 << 18;

/// Weights of a linear layer.
pub(super) struct Matrix {
    values: Values,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

enum Values {
    /// `[outputs, inputs]`.
    Float(Vec<f32>),
    /// `[inputs, outputs]`.
    Quantized(Vec<u8>, QuantizationParameters),
}

/// A linear layer in a graph.
pub(super) struct Layer<'a> {
    pub(super) matrix: Matrix,
    pub(super) bias: Vec<f32>,
    /// The tensor that it is applied to.
    pub(super) input: &'a str,
}

/// Weights of one layer of an LSTM, with the gates in ONNX's order.
pub(super) struct LstmLayer {
    input: Matrix,
    recurrent: Matrix,
    bias: Vec<f32>,
}

impl Matrix {
    /// Packs the weights. Those that the file quantizes stay so, whatever the precision.
    pub(super) fn linear(
        self,
        bias: Option<Vec<f32>>,
        precision: Precision,
    ) -> Result<Linear, String> {
        let linear = match (self.values, precision) {
            (Values::Quantized(weights, parameters), _) => {
                Linear::dynamic(&weights, &parameters, bias)
            }
            (Values::Float(weights), Precision::Int8) => {
                let (weights, parameters) = quantize(&weights, self.inputs);
                Linear::dynamic(&weights, &parameters, bias)
            }
            (Values::Float(weights), Precision::Bf16) => Linear::bf16(&weights, self.outputs, bias),
            (Values::Float(weights), Precision::F32) => Linear::float(&weights, self.outputs, bias),
        };
        linear.map_err(|error| format!("has weights that do not fit: {error}"))
    }
}

/// Quantizes `[outputs, inputs]` to `[inputs, outputs]`.
fn quantize(weights: &[f32], inputs: usize) -> (Vec<u8>, QuantizationParameters) {
    let by_input = transposed(weights, inputs);
    let mut values = vec![0; weights.len()];
    let parameters = quantize_columns(&by_input, weights.len() / inputs, &mut values);
    (values, parameters)
}

/// Transposes a matrix of rows of `columns` values.
fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| values[column..].iter().step_by(columns).copied()).collect()
}

impl LstmLayer {
    pub(super) fn inputs(&self) -> usize {
        self.input.inputs
    }

    /// Packs the weights, as [`Matrix::linear`] does.
    pub(super) fn pack(self, precision: Precision) -> Result<Lstm, String> {
        let (inputs, width) = (self.input.inputs, self.recurrent.inputs);
        let bias = &self.bias;
        Ok(match (self.input.values, self.recurrent.values, precision) {
            (Values::Quantized(input, a), Values::Quantized(recurrent, b), _) => {
                Lstm::pack_dynamic((&input, &a), (&recurrent, &b), bias)
            }
            (Values::Float(input), Values::Float(recurrent), Precision::Int8) => {
                let (input, recurrent) = (quantize(&input, inputs), quantize(&recurrent, width));
                Lstm::pack_dynamic((&input.0, &input.1), (&recurrent.0, &recurrent.1), bias)
            }
            (Values::Float(input), Values::Float(recurrent), Precision::Bf16) => {
                Lstm::pack_bf16(&input, &recurrent, bias)
            }
            (Values::Float(input), Values::Float(recurrent), Precision::F32) => {
                Lstm::pack(&input, &recurrent, bias)
            }
            _ => return Err(foreign("only a part of its LSTM is quantized")),
        })
    }
}

/// Reads layers of a file. Errors are messages that follow the file's name.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) file: &'a OnnxFile,
}

impl<'a> Reader<'a> {
    /// Returns the tensor that `tensor` has the values of.
    pub(super) fn origin(&self, mut tensor: &'a str) -> &'a str {
        while let Some(node) = self.file.producer(tensor)
            && PLUMBING.contains(&node.op())
            && let Some(input) = node.input(0)
        {
            tensor = input;
        }
        tensor
    }

    /// Returns the node that computes the values of `tensor`, which must be of the kind `op`.
    pub(super) fn computed(&self, tensor: &'a str, op: &str) -> Result<&'a OnnxNode, String> {
        let node = self.file.producer(self.origin(tensor));
        node.filter(|node| node.op() == op).ok_or_else(|| {
            let found = node.map_or("an input or a constant", OnnxNode::op);
            foreign(&format!("`{tensor}` comes from {found} where {op} is expected"))
        })
    }

    /// Reads the linear layer that computes `tensor`: a product, and a bias or none.
    pub(super) fn linear(&self, tensor: &'a str) -> Result<Layer<'a>, String> {
        let mut product = self.origin(tensor);
        let mut bias = None;
        if let Some(node) = self.file.producer(product).filter(|node| node.op() == "Add") {
            let (a, b) = (need(node, 0)?, need(node, 1)?);
            let (constant, other) = if self.file.constant(a).is_some() { (a, b) } else { (b, a) };
            bias = Some(self.floats(constant)?.1);
            product = self.origin(other);
        }
        let node = self.file.producer(product);
        let (matrix, input) = match node.map(|node| (node, node.op())) {
            Some((node, "MatMul")) => {
                let (shape, weights) = self.floats(need(node, 1)?)?;
                let &[inputs, outputs] = &shape[..] else { return Err(unusual(node)) };
                check_sizes(tensor, outputs, inputs)?;
                let values = Values::Float(transposed(&weights, outputs));
                (Matrix { values, outputs, inputs }, need(node, 0)?)
            }
            // (product of integers) * (scale of x * scale of weights)
            Some((node, "Mul")) => self.quantized_product(node)?,
            _ => return Err(foreign(&format!("no linear layer computes `{tensor}`"))),
        };
        let bias = bias.unwrap_or_else(|| vec![0.0; matrix.outputs]);
        if bias.len() != matrix.outputs {
            return Err(foreign(&format!("the bias of `{tensor}` has {} values", bias.len())));
        }
        Ok(Layer { matrix, bias, input: self.origin(input) })
    }

    fn quantized_product(&self, node: &'a OnnxNode) -> Result<(Matrix, &'a str), String> {
        let (a, b) = (need(node, 0)?, need(node, 1)?);
        let (product, scales) = match self.computed(a, "MatMulInteger") {
            Ok(product) => (product, b),
            Err(_) => (self.computed(b, "MatMulInteger")?, a),
        };
        let scales = self.computed(scales, "Mul")?;
        let names = [need(scales, 0)?, need(scales, 1)?];
        let scale = names.into_iter().find(|name| self.file.constant(name).is_some());
        let scale = self.floats(scale.ok_or_else(|| unusual(scales))?)?.1;
        let activations = self.file.producer(self.origin(need(product, 0)?));
        let activations = activations.filter(|node| node.op() == "DynamicQuantizeLinear");
        let input = need(activations.ok_or_else(|| unusual(product))?, 0)?;
        let matrix = self.quantized(need(product, 1)?, &scale, product.input(3), &[])?;
        Ok((matrix, input))
    }

    /// Reads a layer of an LSTM that runs forward.
    pub(super) fn lstm(&self, node: &'a OnnxNode) -> Result<LstmLayer, String> {
        let changes = [
            "activations",
            "activation_alpha",
            "activation_beta",
            "clip",
            "input_forget",
            "layout",
        ];
        let is_plain = matches!(node.text("direction"), None | Some("forward"))
            && !changes.iter().any(|attribute| node.has(attribute))
            && node.input(4).is_none()
            && node.input(7).is_none();
        if !is_plain {
            return Err(unusual(node));
        }
        let (weights, recurrent) = (need(node, 1)?, need(node, 2)?);
        let [input, recurrent] = if node.op() == "LSTM" {
            [self.float_gates(node, weights)?, self.float_gates(node, recurrent)?]
        } else {
            let scale = |index| Ok::<_, String>(self.floats(need(node, index)?)?.1);
            [
                self.quantized(weights, &scale(8)?, node.input(9), &[1])?,
                self.quantized(recurrent, &scale(10)?, node.input(11), &[1])?,
            ]
        };
        let (gates, width) = (input.outputs, recurrent.inputs);
        let bias = match node.input(3) {
            Some(name) => self.floats(name)?.1,
            None => vec![0.0; 2 * gates],
        };
        let fits = recurrent.outputs == gates && gates == 4 * width && bias.len() == 2 * gates;
        if !fits || gates.max(input.inputs) > kernels::dynamic::MAX_INPUTS {
            return Err(unusual(node));
        }
        // ONNX has one bias for the input and one for the hidden state.
        let bias = bias[..gates].iter().zip(&bias[gates..]).map(|(a, b)| a + b).collect();
        Ok(LstmLayer { input, recurrent, bias })
    }

    /// Reads weights `[1, gates, inputs]`.
    fn float_gates(&self, node: &OnnxNode, name: &str) -> Result<Matrix, String> {
        let (shape, weights) = self.floats(name)?;
        let &[1, outputs, inputs] = &shape[..] else { return Err(unusual(node)) };
        check_sizes(name, outputs, inputs)?;
        Ok(Matrix { values: Values::Float(weights), outputs, inputs })
    }

    /// Reads quantized weights, `leading` and then `[inputs, outputs]`, with one scale, or one for each
    /// output.
    fn quantized(
        &self,
        name: &str,
        scales: &[f32],
        zero_points: Option<&str>,
        leading: &[usize],
    ) -> Result<Matrix, String> {
        let shape = self.constant(name)?.shape();
        let Some(&[inputs, outputs]) = shape.strip_prefix(leading) else {
            return Err(foreign(&format!("`{name}` is not a matrix but {shape:?}")));
        };
        check_sizes(name, outputs, inputs)?;
        let (values, parameters) = self.unsigned(name, outputs, scales, zero_points)?;
        Ok(Matrix { values: Values::Quantized(values, parameters), outputs, inputs })
    }

    /// Reads quantized values, and the zero point and scale of each output. Signed ones are shifted to
    /// unsigned ones.
    fn unsigned(
        &self,
        name: &str,
        outputs: usize,
        scales: &[f32],
        zero_points: Option<&str>,
    ) -> Result<(Vec<u8>, QuantizationParameters), String> {
        let values = self.floats(name)?.1;
        let zero_points = match zero_points {
            Some(name) => self.floats(name)?.1,
            None => vec![0.0],
        };
        let spread = |values: &[f32]| match *values {
            [value] => Some(vec![value; outputs]),
            _ => (values.len() == outputs).then(|| values.to_vec()),
        };
        let unusual = || foreign(&format!("`{name}` is not quantized by output"));
        let scales = spread(scales).ok_or_else(unusual)?;
        let zero_points = spread(&zero_points).ok_or_else(unusual)?;
        if scales.iter().any(|scale| !(scale.is_normal() && *scale > 0.0)) {
            return Err(foreign(&format!("a scale of `{name}` is not a positive number")));
        }
        let shift = if engine::values::<i8>(self.constant(name)?).is_ok() { 128.0 } else { 0.0 };
        let unsigned = |values: &[f32]| values.iter().map(|value| (value + shift) as u8).collect();
        Ok((
            unsigned(&values),
            QuantizationParameters { zero_points: unsigned(&zero_points), scales },
        ))
    }

    /// Reads the table that `tensor` is looked up in by tokens, of floats or quantized.
    pub(super) fn embedding(&self, tensor: &'a str) -> Result<Matrix, String> {
        let node = self.file.producer(self.origin(tensor));
        let quantized = node.filter(|node| node.op() == "DequantizeLinear");
        let rows = quantized.map_or(Ok(tensor), |node| need(node, 0))?;
        let gather = self.computed(rows, "Gather")?;
        let name = need(gather, 0)?;
        let shape = self.constant(name)?.shape();
        let (&[outputs, inputs], 0) = (shape, gather.int("axis").unwrap_or(0)) else {
            return Err(unusual(gather));
        };
        check_sizes(name, outputs, inputs)?;
        let values = match quantized {
            Some(node) => {
                let scale = self.floats(need(node, 1)?)?.1;
                let (values, parameters) = self.unsigned(name, outputs, &scale, node.input(2))?;
                Values::Quantized(transposed(&values, inputs), parameters)
            }
            None => Values::Float(self.floats(name)?.1),
        };
        Ok(Matrix { values, outputs, inputs })
    }

    fn constant(&self, name: &str) -> Result<&'a Tensor, String> {
        self.file.constant(name).ok_or_else(|| foreign(&format!("`{name}` is not constant")))
    }

    /// Returns the shape and the values of a constant, of whatever type.
    fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let tensor = self.constant(name)?;
        let values =
            widened(tensor).map_err(|error| format!("cannot be read: `{name}`: {error}"))?;
        Ok((tensor.shape().to_vec(), values))
    }
}

fn check_sizes(name: &str, outputs: usize, inputs: usize) -> Result<(), String> {
    let is_size = |size: usize| (1..=MAX_WIDTH).contains(&size);
    match is_size(outputs) && is_size(inputs) {
        true => Ok(()),
        false => Err(foreign(&format!("`{name}` has {inputs} inputs and {outputs} outputs"))),
    }
}

fn widened(tensor: &Tensor) -> Result<Vec<f32>, engine::Error> {
    if let Ok(values) = engine::values::<i8>(tensor) {
        return Ok(values.iter().map(|&value| f32::from(value)).collect());
    }
    if let Ok(values) = engine::values::<u8>(tensor) {
        return Ok(values.iter().map(|&value| f32::from(value)).collect());
    }
    Ok(engine::values::<f32>(tensor)?.to_vec())
}

/// Returns the input of a node at `index`.
fn need(node: &OnnxNode, index: usize) -> Result<&str, String> {
    node.input(index).ok_or_else(|| unusual(node))
}

pub(super) fn foreign(why: &str) -> String {
    format!("is not a network like Parakeet-TDT's: {why}")
}

fn unusual(node: &OnnxNode) -> String {
    foreign(&format!("`{}` ({}) has unusual inputs or attributes", node.name(), node.op()))
}
