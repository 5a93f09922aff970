//! Reads weights of the prediction network and the joint network from an ONNX file.
//!
//! Exporters name tensors as they like, so layers are found by walking from an output to its inputs.

use engine::{Linear, OnnxFile, OnnxNode, Precision, Tensor};

/// Operators that move or convert values without computing any.
const PLUMBING: [&str; 6] = ["Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];
/// Limit on the sizes of layers; the largest has 8,198 outputs.
const MAX_WIDTH: usize = 1 << 18;

/// Weights of a linear layer, row-major `[outputs, inputs]`.
pub(super) struct Matrix {
    values: Values,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

enum Values {
    Float(Vec<f32>),
    /// As the file has them; a weight stands for `weight / scale` of its output.
    Int8 {
        weights: Vec<i8>,
        scales: Vec<f32>,
    },
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
    ) -> Result<Linear, engine::Error> {
        match (self.values, precision) {
            (Values::Int8 { weights, scales }, _) => Linear::int8(&weights, &scales, bias),
            (Values::Float(weights), Precision::Int8) => {
                Linear::quantize(&weights, self.outputs, bias)
            }
            (Values::Float(weights), Precision::Bf16) => Linear::bf16(&weights, self.outputs, bias),
            (Values::Float(weights), Precision::F32) => Linear::float(&weights, self.outputs, bias),
        }
    }

    fn floats(&self) -> Vec<f32> {
        match &self.values {
            Values::Float(weights) => weights.clone(),
            Values::Int8 { weights, scales } => {
                let rows = weights.chunks(self.inputs).zip(scales);
                rows.flat_map(|(row, scale)| row.iter().map(move |&w| f32::from(w) / scale))
                    .collect()
            }
        }
    }
}

impl LstmLayer {
    pub(super) fn inputs(&self) -> usize {
        self.input.inputs
    }

    pub(super) fn width(&self) -> usize {
        self.recurrent.inputs
    }

    /// Packs the weights, as [`Matrix::linear`] does.
    pub(super) fn pack(self, precision: Precision) -> kernels::lstm::Lstm {
        use kernels::lstm::Lstm;
        if let (
            Values::Int8 { weights, scales },
            Values::Int8 { weights: recurrent, scales: steps },
        ) = (&self.input.values, &self.recurrent.values)
        {
            return Lstm::pack_int8((weights, scales), (recurrent, steps), &self.bias);
        }
        let (input, recurrent) = (self.input.floats(), self.recurrent.floats());
        match precision {
            Precision::Int8 => Lstm::quantize(&input, &recurrent, &self.bias),
            Precision::Bf16 => Lstm::pack_bf16(&input, &recurrent, &self.bias),
            Precision::F32 => Lstm::pack(&input, &recurrent, &self.bias),
        }
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
                (Matrix::of_inputs(&weights, inputs, outputs, None)?, need(node, 0)?)
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
        if !fits || gates.max(input.inputs) > kernels::int8::MAX_INPUTS {
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
        let (shape, values) = self.floats(name)?;
        let unusual = || foreign(&format!("`{name}` is not a matrix with scales: {shape:?}"));
        let &[inputs, outputs] = shape.strip_prefix(leading).ok_or_else(unusual)? else {
            return Err(unusual());
        };
        let zero_points = match zero_points {
            Some(name) => self.floats(name)?.1,
            None => vec![0.0],
        };
        let fits = |count: usize| count == 1 || count == outputs;
        if !fits(scales.len()) || !fits(zero_points.len()) {
            return Err(unusual());
        }
        if scales.iter().any(|scale| !(scale.is_normal() && *scale > 0.0)) {
            return Err(foreign(&format!("a scale of `{name}` is not a positive number")));
        }
        let of_output = |values: &[f32], output: usize| values[output % values.len()];
        let weight = |index: usize| values[index] - of_output(&zero_points, index % outputs);
        let is_int8 = (0..values.len()).all(|index| (-128.0..=127.0).contains(&weight(index)));
        if is_int8 {
            let weights: Vec<f32> = (0..values.len()).map(weight).collect();
            let scales = (0..outputs).map(|output| 1.0 / of_output(scales, output)).collect();
            Matrix::of_inputs(&weights, inputs, outputs, Some(scales))
        } else {
            let value = |index| weight(index) * of_output(scales, index % outputs);
            let values: Vec<f32> = (0..values.len()).map(value).collect();
            Matrix::of_inputs(&values, inputs, outputs, None)
        }
    }

    /// Reads the table that `tensor` is looked up in by tokens, of floats or quantized.
    pub(super) fn embedding(&self, tensor: &'a str) -> Result<Matrix, String> {
        let node = self.file.producer(self.origin(tensor));
        let quantized = node.filter(|node| node.op() == "DequantizeLinear");
        let (rows, scale, zero_point) = match quantized {
            Some(node) => {
                let zero_point = node.input(2).map_or(Ok(0.0), |name| self.number(name))?;
                (need(node, 0)?, self.number(need(node, 1)?)?, zero_point)
            }
            None => (tensor, 1.0, 0.0),
        };
        let node = self.computed(rows, "Gather")?;
        let name = need(node, 0)?;
        let (shape, mut values) = self.floats(name)?;
        let (&[outputs, inputs], 0) = (&shape[..], node.int("axis").unwrap_or(0)) else {
            return Err(unusual(node));
        };
        check_sizes(name, outputs, inputs)?;
        values.iter_mut().for_each(|value| *value = (*value - zero_point) * scale);
        Ok(Matrix { values: Values::Float(values), outputs, inputs })
    }

    fn number(&self, name: &str) -> Result<f32, String> {
        match self.floats(name)?.1[..] {
            [number] if number.is_finite() => Ok(number),
            _ => Err(foreign(&format!("`{name}` is not one number"))),
        }
    }

    /// Returns the shape and the values of a constant, of whatever type.
    fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let tensor = self
            .file
            .constant(name)
            .ok_or_else(|| foreign(&format!("`{name}` is not constant")))?;
        let values =
            widened(tensor).map_err(|error| format!("cannot be read: `{name}`: {error}"))?;
        Ok((tensor.shape().to_vec(), values))
    }
}

impl Matrix {
    /// Takes values `[inputs, outputs]`, which are whole numbers where there are scales.
    fn of_inputs(
        values: &[f32],
        inputs: usize,
        outputs: usize,
        scales: Option<Vec<f32>>,
    ) -> Result<Self, String> {
        check_sizes("a linear layer", outputs, inputs)?;
        let by_output =
            (0..outputs).flat_map(|output| values[output..].iter().step_by(outputs).copied());
        let values = match scales {
            Some(scales) => {
                Values::Int8 { weights: by_output.map(|value| value as i8).collect(), scales }
            }
            None => Values::Float(by_output.collect()),
        };
        Ok(Self { values, outputs, inputs })
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
