//! Operators that exporters take apart are put together again. Rules replace the last node of what
//! they match; what is then not needed any more is pruned.

mod attention;
mod fsmn;

use std::collections::HashMap;

use tract_onnx::{pb, tract_core::internal::*};

use self::{attention::attention, fsmn::fsmn};
use super::{OnnxNode, graph::Graph};

/// [`crate::ops::Linear`].
pub(super) const LINEAR: &str = "scriptorium.Linear";
/// [`crate::ops::QuantizedLinear`].
pub(super) const QUANTIZED_LINEAR: &str = "scriptorium.QuantizedLinear";
/// Attribute of a linear layer that has a bias.
pub(super) const BIASED: &str = "biased";
/// Attribute of a linear layer that `Relu` follows.
pub(super) const RELU: &str = "relu";
/// [`crate::ops::LayerNorm`].
pub(super) const LAYER_NORM: &str = "scriptorium.LayerNorm";
/// [`crate::ops::Attention`].
pub(super) const ATTENTION: &str = "scriptorium.Attention";
pub(super) const HEADS: &str = "heads";
/// [`crate::ops::Fsmn`].
pub(super) const FSMN: &str = "scriptorium.Fsmn";
/// Attribute of what is added to something.
pub(super) const RESIDUAL: &str = "residual";
/// [`crate::ops::Truncate`].
pub(super) const TRUNCATE: &str = "scriptorium.Truncate";

/// Puts together what it knows. `outputs` keep their names and values.
pub(super) fn fuse(graph: &mut Graph, outputs: &[&str]) {
    for rule in [quantized_linear, linear, layer_norm, attention, fsmn, truncate] {
        let found = {
            let matcher = Matcher::new(graph, outputs);
            let indices = 0..graph.nodes.len();
            indices.filter_map(|index| rule(&matcher, index)).collect::<Vec<_>>()
        };
        for (index, node) in found {
            graph.nodes[index] = node;
        }
        graph.prune(outputs);
    }
}

struct Matcher<'a> {
    graph: &'a Graph,
    outputs: &'a [&'a str],
    producers: HashMap<&'a str, usize>,
    consumers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Matcher<'a> {
    fn new(graph: &'a Graph, outputs: &'a [&'a str]) -> Self {
        let (producers, consumers) = (graph.producers(), graph.consumers());
        Self { graph, outputs, producers, consumers }
    }

    /// The node that makes `tensor`, if it is an `op`.
    fn producer(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        let node = &self.graph.nodes[*self.producers.get(tensor)?];
        (node.op() == op).then_some(node)
    }

    /// The only node that takes `tensor`, if it is an `op`, and the tensor not an output.
    fn consumer(&self, tensor: &str, op: &str) -> Option<usize> {
        let [index] = self.consumers.get(tensor)?[..] else { return None };
        let fits = self.graph.nodes[index].op() == op && !self.outputs.contains(&tensor);
        fits.then_some(index)
    }

    fn constant(&self, tensor: &str) -> Option<&'a Tensor> {
        self.graph.constants.get(tensor).map(Arc::as_ref)
    }

    /// A constant of one axis.
    fn vector(&self, tensor: &str) -> Option<&'a Tensor> {
        self.constant(tensor)
            .filter(|value| value.rank() == 1 && value.datum_type() == f32::datum_type())
    }

    /// The inputs of a node of two, that which `is` first.
    fn operands(
        &self,
        node: &'a OnnxNode,
        is: impl Fn(&str) -> bool,
    ) -> Option<(&'a str, &'a str)> {
        let [a, b] = node.inputs() else { return None };
        if is(a) {
            Some((a, b))
        } else if is(b) {
            Some((b, a))
        } else {
            None
        }
    }

    fn scalar(&self, tensor: &str) -> Option<f32> {
        let value = self.constant(tensor).filter(|value| value.len() == 1)?;
        value.cast_to_scalar().ok()
    }
}

/// Where to put a node.
type Found = Option<(usize, OnnxNode)>;

/// `f32(MatMulInteger(xq, w, xz, wz)) * (xs * ws) [+ bias] [relu | + residual]`, with `xq, xs, xz` from
/// `DynamicQuantizeLinear`.
fn quantized_linear(matcher: &Matcher<'_>, index: usize) -> Found {
    let scaled = &matcher.graph.nodes[index];
    if scaled.op() != "Mul" {
        return None;
    }
    let (cast, scales) =
        matcher.operands(scaled, |name| matcher.producer(name, "Cast").is_some())?;
    let cast = matcher.producer(cast, "Cast")?;
    if cast.int("to") != Some(pb::tensor_proto::DataType::Float as i64) {
        return None;
    }
    let product = matcher.producer(cast.input(0)?, "MatMulInteger")?;
    let (x, weights) = (product.input(0)?, product.input(1)?);
    let (zero_point, weight_zero_points) = (product.input(2)?, product.input(3)?);
    let quantize = matcher.producer(x, "DynamicQuantizeLinear")?;
    let [values, scale, zero] = quantize.outputs() else { return None };
    let scales = matcher.producer(scales, "Mul")?;
    let (scale_of_x, weight_scales) = matcher.operands(scales, |name| name == scale)?;
    let outputs = match matcher.constant(weights)?.shape() {
        [inputs, outputs] if (1..=kernels::dynamic::MAX_INPUTS).contains(inputs) => *outputs,
        _ => return None,
    };
    let per_column = |name| {
        let parameter = matcher.constant(name)?;
        (parameter.rank() <= 1 && (parameter.len() == 1 || parameter.len() == outputs))
            .then_some(())
    };
    per_column(weight_zero_points)?;
    per_column(weight_scales)?;
    if values != x || zero != zero_point || outputs == 0 {
        return None;
    }
    let inputs = vec![x, scale_of_x, zero_point, weights, weight_zero_points, weight_scales];
    Some(finished(matcher, QUANTIZED_LINEAR, inputs, outputs, index))
}

/// `x w [+ bias] [relu | + residual]`
fn linear(matcher: &Matcher<'_>, index: usize) -> Found {
    let product = &matcher.graph.nodes[index];
    let (x, weights) = (product.input(0)?, product.input(1)?);
    let constant = matcher.constant(weights)?;
    let &[inputs, outputs] = constant.shape() else { return None };
    let float = constant.datum_type() == f32::datum_type();
    let fits = product.op() == "MatMul" && matcher.constant(x).is_none() && float;
    if !fits || inputs == 0 || outputs == 0 {
        return None;
    }
    Some(finished(matcher, LINEAR, vec![x, weights], outputs, index))
}

/// A linear layer `op` in the place of the node at `index` and of what follows it: a bias, then an
/// activation or a residual.
fn finished<'a>(
    matcher: &Matcher<'a>,
    op: &str,
    mut inputs: Vec<&'a str>,
    outputs: usize,
    index: usize,
) -> (usize, OnnxNode) {
    let nodes = &matcher.graph.nodes;
    let (mut last, mut flags) = (index, Vec::new());
    if let Some(add) = matcher.consumer(nodes[last].output(), "Add") {
        let is_bias = |name: &str| matcher.vector(name).is_some_and(|bias| bias.len() == outputs);
        if let Some((bias, _)) = matcher.operands(&nodes[add], is_bias) {
            inputs.push(bias);
            flags.push(BIASED);
            last = add;
        }
    }
    let output = nodes[last].output();
    if let Some(relu) = matcher.consumer(output, "Relu") {
        flags.push(RELU);
        last = relu;
    } else if let Some(add) = matcher.consumer(output, "Add") {
        // Whether it has the shape of the product is seen when shapes are known.
        let is_data = |name: &str| name != output && matcher.constant(name).is_none();
        if let Some((residual, _)) = matcher.operands(&nodes[add], is_data) {
            inputs.push(residual);
            flags.push(RESIDUAL);
            last = add;
        }
    }
    let mut node = OnnxNode::with(op, &inputs, nodes[last].output());
    flags.into_iter().for_each(|flag| node.set_int(flag, 1));
    (last, node)
}

/// `(x - mean) / sqrt(mean((x - mean)²) + epsilon) * gamma + beta`: before opset 17 there is no
/// operator for it.
fn layer_norm(matcher: &Matcher<'_>, index: usize) -> Found {
    let shifted = &matcher.graph.nodes[index];
    if shifted.op() != "Add" {
        return None;
    }
    let is_vector = |name: &str| matcher.vector(name).is_some();
    let (beta, scaled) = matcher.operands(shifted, is_vector)?;
    let (gamma, normal) = matcher.operands(matcher.producer(scaled, "Mul")?, is_vector)?;
    let normal = matcher.producer(normal, "Div")?;
    let deviation = matcher.producer(normal.input(0)?, "Sub")?;
    let variance = matcher.producer(normal.input(1)?, "Sqrt")?.input(0)?;
    let is_scalar = |name: &str| matcher.scalar(name).is_some();
    let (epsilon, variance) = matcher.operands(matcher.producer(variance, "Add")?, is_scalar)?;
    let square = matcher.producer(mean_of(matcher, variance)?, "Pow")?;
    let x = deviation.input(0)?;
    let fits = square.input(0)? == deviation.output()
        && matcher.scalar(square.input(1)?)? == 2.0
        && mean_of(matcher, deviation.input(1)?)? == x
        && matcher.vector(gamma)?.len() == matcher.vector(beta)?.len();
    if !fits {
        return None;
    }
    let mut node = OnnxNode::with(LAYER_NORM, &[x, gamma, beta], shifted.output());
    node.set_float("epsilon", matcher.scalar(epsilon)?);
    Some((index, node))
}

/// What `tensor` is the mean of, over the last axis.
fn mean_of<'a>(matcher: &Matcher<'a>, tensor: &str) -> Option<&'a str> {
    let mean = matcher.producer(tensor, "ReduceMean")?;
    let last = mean.ints("axes") == Some(&[-1]) && mean.int("keepdims").unwrap_or(1) == 1;
    mean.input(0).filter(|_| last)
}

/// `x[:length]` along one axis.
fn truncate(matcher: &Matcher<'_>, index: usize) -> Found {
    let slice = &matcher.graph.nodes[index];
    let whole = |input: usize| -> Option<i64> {
        let value = matcher.constant(slice.input(input)?).filter(|value| value.len() == 1)?;
        value.cast_to_scalar().ok()
    };
    let step = slice.input(4).map_or(Some(1), |_| whole(4));
    if slice.op() != "Slice" || whole(1)? != 0 || step? != 1 {
        return None;
    }
    let (length, axis) = (whole(2)?, whole(3)?);
    // Ends beyond all lengths mean all of the axis.
    if axis < 0 || !(1..i64::from(i32::MAX)).contains(&length) {
        return None;
    }
    let mut node = OnnxNode::with(TRUNCATE, &[slice.input(0)?], slice.output());
    node.set_int("axis", axis);
    node.set_int("length", length);
    Some((index, node))
}
