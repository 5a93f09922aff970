//! Multi-head attention.

use super::matcher::{Fused, Matcher};
use crate::onnx::{names, node::OnnxNode};

/// Matches `softmax(q kᵀ / sqrt(width)) v` per head, from `[batch, rows, heads * width]` to the
/// same shape. Either the queries are scaled or the scores.
pub(super) fn attention(matcher: &Matcher<'_>, index: usize) -> Fused {
    let joined = matcher.node_of(index, "Reshape")?;
    let context = matcher.transposed(joined.input(0)?, &[0, 2, 1, 3])?;
    let context = matcher.producer(context, "MatMul")?;
    let softmax = matcher.producer(context.input(0)?, "Softmax")?;
    let (scores, scale_of_scores) = scaled(matcher, softmax.input(0)?);
    let scores = matcher.producer(scores, "MatMul")?;
    let (queries, scale_of_queries) = scaled(matcher, scores.input(0)?);
    let queries = heads(matcher, queries, &[0, 2, 1, 3])?;
    let keys = heads(matcher, scores.input(1)?, &[0, 2, 3, 1])?;
    let values = heads(matcher, context.input(1)?, &[0, 2, 1, 3])?;
    let width = (queries.count * queries.width) as i64;
    let scale = scale_of_scores * scale_of_queries * (queries.width as f32).sqrt();
    let fits = [&keys, &values]
        .iter()
        .all(|other| (other.count, other.width) == (queries.count, queries.width))
        && matches!(softmax.int("axis").unwrap_or(-1), -1 | 3)
        && (scale - 1.0).abs() < 1e-5
        && last_dim(matcher, joined.input(1)?)? == width;
    if !fits {
        return None;
    }
    let inputs = [queries.tensor, keys.tensor, values.tensor];
    let mut node = OnnxNode::with(names::ATTENTION, &inputs, joined.output());
    node.set_int(names::HEADS, queries.count as i64);
    Some((index, node))
}

/// Returns the tensor that `tensor` is a multiple of, and the factor; `tensor` itself and 1 if
/// there is none.
fn scaled<'a>(matcher: &Matcher<'a>, tensor: &'a str) -> (&'a str, f32) {
    let by = |op| {
        let node = matcher.producer(tensor, op)?;
        Some((node.input(0)?, matcher.scalar(node.input(1)?)?))
    };
    match (by("Mul"), by("Div")) {
        (Some((tensor, factor)), _) => (tensor, factor),
        (_, Some((tensor, divisor))) => (tensor, 1.0 / divisor),
        _ => (tensor, 1.0),
    }
}

struct Heads<'a> {
    /// `[batch, rows, count * width]`.
    tensor: &'a str,
    count: usize,
    width: usize,
}

/// Matches a tensor that was reshaped to `[batch, rows, count, width]` and then transposed.
fn heads<'a>(matcher: &Matcher<'a>, tensor: &str, order: &[i64]) -> Option<Heads<'a>> {
    let split = matcher.producer(matcher.transposed(tensor, order)?, "Reshape")?;
    let shape = matcher.producer(split.input(1)?, "Concat")?;
    let [_, _, count, width] = shape.inputs() else { return None };
    let size = |name: &str| usize::try_from(matcher.integer(name)?).ok().filter(|&size| size > 0);
    Some(Heads { tensor: split.input(0)?, count: size(count)?, width: size(width)? })
}

/// Returns the last dimension of a shape that is a `Concat`.
fn last_dim(matcher: &Matcher<'_>, shape: &str) -> Option<i64> {
    matcher.integer(matcher.producer(shape, "Concat")?.inputs().last()?)
}
