//! Inputs of networks that are cut from an ONNX file.

use crate::dim::Dim;

/// A tensor of the graph at which a network begins.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) kind: InputKind,
}

#[derive(Debug, Clone)]
pub(super) enum InputKind {
    /// A tensor of this shape, an input of the network.
    Tensor(Vec<Dim>),
    /// The length of the axis of this name.
    Length(&'static str),
}

impl<'a> Input<'a> {
    /// Makes the tensor `name` an input of the network. Its element type is that of the file's
    /// input of this name, or f32 if there is none.
    pub fn new(name: &'a str, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { name, kind: InputKind::Tensor(shape.into_iter().collect()) }
    }

    /// Declares that the tensor `name`, of shape `[1]`, always is the full length of an axis: a
    /// batch of one has no padding. The tensor is not an input of the network, and the padding
    /// masks that depend on it are removed.
    pub fn full_length(name: &'a str, axis: &'static str) -> Self {
        Self { name, kind: InputKind::Length(axis) }
    }
}
