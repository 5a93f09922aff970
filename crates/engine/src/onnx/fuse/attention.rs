use super::{ATTENTION, Found, HEADS, Matcher, OnnxNode};

/// `softmax(q kᵀ / sqrt(width)) v` head by head, from `[batch, rows, heads * width]` and back:
/// queries may be scaled before the product, or scores after it.
pub(super) fn attention(matcher: &Matcher<'_>, index: usize) -> Found {
    let joined = &matcher.graph.nodes[index];
    if joined.op() != "Reshape" {
        return None;
    }
    let context = transposed(matcher, joined.input(0)?, &[0, 2, 1, 3])?;
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
    let mut node = OnnxNode::with(ATTENTION, &inputs, joined.output());
    node.set_int(HEADS, queries.count as i64);
    Some((index, node))
}

/// `tensor` as it was before a scale, and the scale.
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

/// What was reshaped to `[batch, rows, count, width]` and then transposed.
fn heads<'a>(matcher: &Matcher<'a>, tensor: &str, order: &[i64]) -> Option<Heads<'a>> {
    let split = matcher.producer(transposed(matcher, tensor, order)?, "Reshape")?;
    let shape = matcher.producer(split.input(1)?, "Concat")?;
    let [_, _, count, width] = shape.inputs() else { return None };
    let whole = |name: &str| {
        let value = matcher.constant(name).filter(|value| value.len() == 1)?;
        usize::try_from(value.cast_to_scalar::<i64>().ok()?).ok().filter(|&value| value > 0)
    };
    Some(Heads { tensor: split.input(0)?, count: whole(count)?, width: whole(width)? })
}

fn transposed<'a>(matcher: &Matcher<'a>, tensor: &str, order: &[i64]) -> Option<&'a str> {
    let node = matcher.producer(tensor, "Transpose")?;
    node.input(0).filter(|_| node.ints("perm") == Some(order))
}

fn last_dim(matcher: &Matcher<'_>, shape: &str) -> Option<i64> {
    let last = matcher.producer(shape, "Concat")?.inputs().last()?;
    matcher.constant(last).filter(|value| value.len() == 1)?.cast_to_scalar().ok()
}
