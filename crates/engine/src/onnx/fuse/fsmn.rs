use super::{FSMN, Found, Matcher, OnnxNode, RESIDUAL};

/// A depthwise convolution over time, padded to the same length: `[batch, time, channels]` is
/// turned, convolved, turned back, and mostly added to itself.
pub(super) fn fsmn(matcher: &Matcher<'_>, index: usize) -> Found {
    let turned = |tensor: &str| {
        let node = matcher.producer(tensor, "Transpose")?;
        node.input(0).filter(|_| node.ints("perm") == Some(&[0, 2, 1]))
    };
    let back = &matcher.graph.nodes[index];
    if back.op() != "Transpose" {
        return None;
    }
    let convolution = matcher.producer(turned(back.output())?, "Conv")?;
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
    let x = turned(pad.input(0)?)?;
    let add = matcher.consumer(back.output(), "Add");
    let add = add.filter(|&add| matcher.graph.nodes[add].inputs().iter().any(|name| name == x));
    let last = add.unwrap_or(index);
    let inputs = [x, weights, pad.input(1)?];
    let mut node = OnnxNode::with(FSMN, &inputs, matcher.graph.nodes[last].output());
    if add.is_some() {
        node.set_int(RESIDUAL, 1);
    }
    Some((last, node))
}
