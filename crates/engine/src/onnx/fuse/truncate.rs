//! Truncation of an axis.

use super::matcher::{Fused, Matcher};
use crate::onnx::{names, node::OnnxNode};

/// Matches `x[:length]` along one axis.
pub(super) fn truncate(matcher: &Matcher<'_>, index: usize) -> Fused {
    let slice = matcher.node_of(index, "Slice")?;
    let integer = |input: usize| matcher.integer(slice.input(input)?);
    let step = slice.input(4).map_or(Some(1), |_| integer(4));
    if integer(1)? != 0 || step? != 1 {
        return None;
    }
    let (length, axis) = (integer(2)?, integer(3)?);
    // Exporters write an end beyond any length for a slice of the whole axis.
    if axis < 0 || !(1..i64::from(i32::MAX)).contains(&length) {
        return None;
    }
    let mut node = OnnxNode::with(names::TRUNCATE, &[slice.input(0)?], slice.output());
    node.set_int("axis", axis);
    node.set_int("length", length);
    Some((index, node))
}
