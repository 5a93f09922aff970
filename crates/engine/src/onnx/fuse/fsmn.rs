//! The memory block of FSMN.

use super::matcher::{Fused, Matcher};
use crate::onnx::{names, node::OnnxNode};

/// Matches a depthwise convolution over time, padded to the same length: `[batch, time, channels]`
/// is transposed, convolved, transposed back, and usually added to the input.
pub(super) fn fsmn(matcher: &Matcher<'_>, index: usize) -> Fused {
    let back = matcher.node_of(index, "Transpose")?;
    let convolution = matcher.transposed(back.output(), &[0, 2, 1])?;
    let convolution = matcher.producer(convolution, "Conv")?;
    let weights = convolution.input(1)?;
    let &[channels, 1, _] = matcher.constant(weights)?.shape() else { return None };
    let all = |attribute, value| {
        convolution.ints(attribute).is_none_or(|values| values.iter().all(|&v| v == value))
    };
    let plain = all("strides", 1) && all("dilations", 1) && all("pads", 0);
    let depthwise = convolution.int("group") == Some(channels as i64);
    let pad = matcher.producer(convolution.input(0)?, "Pad")?;
    let zeros = pad.text("mode").unwrap_or("constant") == "constant"
        && pad.input(2).is_none_or(|value| matcher.scalar(value) == Some(0.0));
    if !plain || !depthwise || !zeros || convolution.input(2).is_some() || pad.input(3).is_some() {
        return None;
    }
    let x = matcher.transposed(pad.input(0)?, &[0, 2, 1])?;
    let add = matcher.consumer(back.output(), "Add");
    let add = add.filter(|&add| matcher.node(add).inputs().iter().any(|name| name == x));
    let last = add.unwrap_or(index);
    let inputs = [x, weights, pad.input(1)?];
    let mut node = OnnxNode::with(names::FSMN, &inputs, matcher.node(last).output());
    if add.is_some() {
        node.set_int(names::RESIDUAL, 1);
    }
    Some((last, node))
}
