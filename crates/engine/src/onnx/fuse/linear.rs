//! Linear layers, of f32 weights or dynamically quantized.

use tract_onnx::{pb, tract_core::internal::*};

use super::matcher::{Fused, Matcher};
use crate::onnx::{names, node::OnnxNode};

/// Matches `f32(MatMulInteger(xq, w, xz, wz)) * (xs * ws) [+ bias] [relu | + residual]`, with
/// `xq, xs, xz` from `DynamicQuantizeLinear`.
pub(super) fn quantized_linear(matcher: &Matcher<'_>, index: usize) -> Fused {
    let scaled = matcher.node_of(index, "Mul")?;
    let (cast, scales) =
        matcher.operands(scaled, |name| matcher.producer(name, "Cast").is_some())?;
    let cast = matcher.producer(cast, "Cast")?;
    if cast.int("to") != Some(pb::tensor_proto::DataType::Float as i64) {
        return None;
    }
    let matmul = matcher.producer(cast.input(0)?, "MatMulInteger")?;
    let (x, weights) = (matmul.input(0)?, matmul.input(1)?);
    let (zero_point, weight_zero_points) = (matmul.input(2)?, matmul.input(3)?);
    let quantize = matcher.producer(x, "DynamicQuantizeLinear")?;
    let [values, scale, zero] = quantize.outputs() else { return None };
    let scales = matcher.producer(scales, "Mul")?;
    let (scale_of_x, weight_scales) = matcher.operands(scales, |name| name == scale)?;
    let outputs = match matcher.constant(weights)?.shape() {
        [inputs, outputs] if (1..=kernels::dynamic::MAX_INPUTS).contains(inputs) => *outputs,
        _ => return None,
    };
    let fits_columns = |name| {
        let parameter = matcher.constant(name)?;
        (parameter.rank() <= 1 && (parameter.len() == 1 || parameter.len() == outputs))
            .then_some(())
    };
    fits_columns(weight_zero_points)?;
    fits_columns(weight_scales)?;
    if values != x || zero != zero_point || outputs == 0 {
        return None;
    }
    let inputs = vec![x, scale_of_x, zero_point, weights, weight_zero_points, weight_scales];
    Some(with_epilogue(matcher, names::QUANTIZED_LINEAR, inputs, outputs, index))
}

/// Matches `x w [+ bias] [relu | + residual]`.
pub(super) fn linear(matcher: &Matcher<'_>, index: usize) -> Fused {
    let matmul = matcher.node(index);
    let (x, weights) = (matmul.input(0)?, matmul.input(1)?);
    let constant = matcher.constant(weights)?;
    let &[inputs, outputs] = constant.shape() else { return None };
    let float = constant.datum_type() == f32::datum_type();
    let fits = matmul.op() == "MatMul" && matcher.constant(x).is_none() && float;
    if !fits || inputs == 0 || outputs == 0 {
        return None;
    }
    Some(with_epilogue(matcher, names::LINEAR, vec![x, weights], outputs, index))
}

/// Makes a linear layer `op` of `inputs` that replaces the node at `index` and its epilogue: a
/// bias, then an activation or a residual.
fn with_epilogue<'a>(
    matcher: &Matcher<'a>,
    op: &str,
    mut inputs: Vec<&'a str>,
    outputs: usize,
    index: usize,
) -> (usize, OnnxNode) {
    let (mut last, mut flags) = (index, Vec::new());
    if let Some(add) = matcher.consumer(matcher.node(last).output(), "Add") {
        let is_bias = |name: &str| matcher.vector(name).is_some_and(|bias| bias.len() == outputs);
        if let Some((bias, _)) = matcher.operands(matcher.node(add), is_bias) {
            inputs.push(bias);
            flags.push(names::BIASED);
            last = add;
        }
    }
    let output = matcher.node(last).output();
    if let Some(relu) = matcher.consumer(output, "Relu") {
        flags.push(names::RELU);
        last = relu;
    } else if let Some(add) = matcher.consumer(output, "Add") {
        // The operator compares the residual's shape with the output's once shapes are known.
        let is_data = |name: &str| name != output && matcher.constant(name).is_none();
        if let Some((residual, _)) = matcher.operands(matcher.node(add), is_data) {
            inputs.push(residual);
            flags.push(names::RESIDUAL);
            last = add;
        }
    }
    let mut node = OnnxNode::with(op, &inputs, matcher.node(last).output());
    flags.into_iter().for_each(|flag| node.set_int(flag, 1));
    (last, node)
}
