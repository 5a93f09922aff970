//! Layer normalization.

use super::matcher::{Fused, Matcher};
use crate::onnx::{names, node::OnnxNode};

/// Matches `(x - mean) / sqrt(mean((x - mean)²) + epsilon) * gamma + beta`. ONNX has an operator
/// for it only from opset 17 on.
pub(super) fn layer_norm(matcher: &Matcher<'_>, index: usize) -> Fused {
    let shifted = matcher.node_of(index, "Add")?;
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
    let mut node = OnnxNode::with(names::LAYER_NORM, &[x, gamma, beta], shifted.output());
    node.set_float("epsilon", matcher.scalar(epsilon)?);
    Some((index, node))
}

/// Returns the tensor that `tensor` is the mean of, over the last axis.
fn mean_of<'a>(matcher: &Matcher<'a>, tensor: &str) -> Option<&'a str> {
    let mean = matcher.producer(tensor, "ReduceMean")?;
    let last = mean.ints("axes") == Some(&[-1]) && mean.int("keepdims").unwrap_or(1) == 1;
    mean.input(0).filter(|_| last)
}
