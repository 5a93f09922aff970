//! The graph of an encoder, as its layers with weights and the paths between them.
//!
//! Names of nodes and weights depend on the exporter and on the quantizer, and the order of nodes
//! that do not depend on one another, too. What a file computes is therefore read from its paths.

use std::collections::{HashMap, HashSet};

use engine::{OnnxFile, OnnxNode, Tensor};

/// Operators that a layer could apply to its input besides those that it is recognized by.
const FUNCTIONS: [&str; 16] = [
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Erf",
    "Tanh",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Softmax",
    "Softplus",
    "Exp",
    "LayerNormalization",
    "BatchNormalization",
];

/// A layer with weights: a matrix product, a convolution, or a layer norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) node: &'a OnnxNode,
    /// The tensor that it is applied to, f32.
    pub(super) x: &'a str,
    pub(super) weights: &'a str,
    pub(super) quantization: Option<Quantization<'a>>,
    pub(super) bias: Option<&'a str>,
    /// The result, f32, with the bias.
    pub(super) output: &'a str,
}

/// How the weights of a layer are quantized: names of constants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantization<'a> {
    pub(super) zero_point: Option<&'a str>,
    pub(super) scale: &'a str,
}

/// Kinds of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Linear,
    Convolution,
    Norm,
}

impl Layer<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self.node.op() {
            "Conv" | "ConvInteger" => Kind::Convolution,
            "LayerNormalization" => Kind::Norm,
            _ => Kind::Linear,
        }
    }
}

/// Where a tensor comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The output of a layer, by index, and a constant of several numbers that was added to it.
    Layer { index: usize, added: Option<&'a str> },
    /// Weights of attention.
    Softmax,
}

/// Layers in an order in which each is after those that it depends on.
pub(super) struct Graph<'a> {
    pub(super) file: &'a OnnxFile,
    pub(super) layers: Vec<Layer<'a>>,
    by_output: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    /// Finds the layers that depend on `input`, and those of constants that depend on its length.
    pub(super) fn new(file: &'a OnnxFile, input: &str) -> Self {
        let mut graph = Self { file, layers: Vec::new(), by_output: HashMap::new() };
        for node in file.downstream(input) {
            if let Some(layer) = graph.layer(node) {
                graph.by_output.insert(layer.output, graph.layers.len());
                graph.layers.push(layer);
            }
        }
        graph
    }

    fn layer(&self, node: &'a OnnxNode) -> Option<Layer<'a>> {
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let file = self.file;
        file.constant(weights)?;
        let mut layer =
            Layer { node, x, weights, quantization: None, bias: None, output: node.output() };
        match node.op() {
            "LayerNormalization" => {
                layer.bias = node.input(2);
                return Some(layer);
            }
            "MatMul" => {}
            "Conv" => layer.bias = node.input(2),
            "MatMulInteger" | "ConvInteger" => {
                // Quantized values, Cast, Mul(scale of x * scale of the weights).
                layer.x = self.produced(x, "DynamicQuantizeLinear")?.input(0)?;
                let cast = self.only(node.output(), "Cast")?;
                let scaled = self.only(cast.output(), "Mul")?;
                let factor = other_input(scaled, cast.output())?;
                let scales = self.produced(factor, "Mul")?;
                let scale = scales.inputs().iter().find(|name| file.constant(name).is_some())?;
                layer.quantization = Some(Quantization { zero_point: node.input(3), scale });
                layer.output = scaled.output();
            }
            _ => return None,
        }
        if layer.bias.is_none()
            && let Some(add) = self.only(layer.output, "Add")
            && let Some(bias) = other_input(add, layer.output).and_then(|name| self.reshaped(name))
        {
            (layer.bias, layer.output) = (Some(bias), add.output());
        }
        Some(layer)
    }

    /// Returns the constant that `tensor` is, or is the reshape of.
    fn reshaped(&self, tensor: &'a str) -> Option<&'a str> {
        let name = match self.produced(tensor, "Reshape") {
            Some(node) => node.input(0)?,
            None => tensor,
        };
        self.file.constant(name).map(|_| name)
    }

    /// Returns the node that computes `tensor`, if it is an `op`.
    pub(super) fn produced(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        self.file.producer(tensor).filter(|node| node.op() == op)
    }

    /// Returns the only node that uses `tensor`, besides those that use its shape, if it is an `op`.
    pub(super) fn only(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        let mut nodes = self.file.consumers(tensor).filter(|node| node.op() != "Shape");
        let node = nodes.next().filter(|node| node.op() == op)?;
        nodes.next().is_none().then_some(node)
    }

    /// Returns a constant of one number.
    pub(super) fn scalar(&self, tensor: &str) -> Option<f32> {
        match engine::values::<f32>(self.file.constant(tensor)?).ok()? {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// Follows `tensor` back to a layer or a softmax, through operators that move or mask values.
    pub(super) fn origin(&self, mut tensor: &'a str) -> Option<Origin<'a>> {
        let mut added = None;
        // This ends: no node depends on itself.
        loop {
            if let Some(&index) = self.by_output.get(tensor) {
                return Some(Origin::Layer { index, added });
            }
            let node = self.file.producer(tensor)?;
            tensor = match node.op() {
                "Softmax" => return Some(Origin::Softmax),
                "Reshape" | "Transpose" | "Unsqueeze" | "Squeeze" | "Cast" | "Identity" => {
                    node.input(0)?
                }
                "Where" => self.only_computed(&node.inputs()[1..])?,
                "Add" => {
                    let computed = self.only_computed(node.inputs())?;
                    let constant = other_input(node, computed)?;
                    if added.replace(constant).is_some() {
                        return None;
                    }
                    computed
                }
                _ => return None,
            };
        }
    }

    /// Returns the only one of `tensors` that is not a constant.
    fn only_computed(&self, tensors: &'a [String]) -> Option<&'a str> {
        let mut computed = tensors.iter().filter(|name| self.file.constant(name).is_none());
        let first = computed.next()?;
        computed.next().is_none().then_some(first)
    }

    /// Returns the nodes that compute `tensor` from the outputs of layers.
    pub(super) fn between(&self, tensor: &'a str) -> Vec<&'a OnnxNode> {
        let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![tensor]);
        while let Some(tensor) = open.pop() {
            if self.by_output.contains_key(tensor) || !seen.insert(tensor) {
                continue;
            }
            if let Some(node) = self.file.producer(tensor) {
                found.push(node);
                open.extend(node.inputs().iter().map(String::as_str));
            }
        }
        found
    }

    /// Returns whether `functions` are what is applied to the input of a layer, besides operators that
    /// move, mask, quantize, multiply or add.
    pub(super) fn applies(&self, layer: &Layer<'a>, functions: &[&str]) -> bool {
        let nodes = self.between(layer.x);
        let mut found: Vec<&str> =
            nodes.iter().map(|node| node.op()).filter(|op| FUNCTIONS.contains(op)).collect();
        found.sort_unstable();
        found == functions
    }

    /// Returns the shape of a constant.
    pub(super) fn shape(&self, tensor: &str) -> &'a [usize] {
        self.file.constant(tensor).map_or(&[][..], Tensor::shape)
    }
}

/// Returns the input of a node of two inputs that is not `tensor`.
pub(super) fn other_input<'a>(node: &'a OnnxNode, tensor: &str) -> Option<&'a str> {
    match node.inputs() {
        [a, b] if a == tensor => Some(b),
        [a, b] if b == tensor => Some(a),
        _ => None,
    }
}
