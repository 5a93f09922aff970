//! ONNX files: read, cut, rewritten, and run.

mod file;
mod fuse;
mod graph;
mod masks;
mod node;
mod operators;
mod quantize;
mod rewrite;
mod scan;
mod source;
mod stored;
#[cfg(test)]
mod tests;
mod translate;

use std::{path::Path, sync::LazyLock};

use tract_onnx::prelude::*;

pub use file::{Element, OnnxFile, Port};
pub use node::OnnxNode;

use crate::{Error, runner::Runner};

/// tract's operators; the table of them takes as long to fill as a small model to read.
static TRACT: LazyLock<tract_onnx::model::Onnx> = LazyLock::new(tract_onnx::onnx);

/// One axis of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// Any length at every run. Axes of the same name have the same length in one run.
    Symbol(&'static str),
}

impl From<usize> for Dim {
    fn from(length: usize) -> Self {
        Self::Fixed(length)
    }
}

impl From<&'static str> for Dim {
    fn from(name: &'static str) -> Self {
        Self::Symbol(name)
    }
}

/// Where a network is cut off from its surroundings: a tensor that is given.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    name: &'a str,
    given: Given,
}

#[derive(Debug, Clone)]
enum Given {
    /// With every run, in this shape.
    Tensor(Vec<Dim>),
    /// By the axis of this name.
    Length(&'static str),
}

impl<'a> Input<'a> {
    /// The tensor `name`, given at every run. Its elements are of the type that the file says if it
    /// is an input of the file, else f32.
    pub fn new(name: &'a str, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { name, given: Given::Tensor(shape.into_iter().collect()) }
    }

    /// The tensor `name`, of shape `[1]`, tells how much of an axis is no padding: all of it, since
    /// a batch of one needs no padding. It is not given to the network, and masks that are made
    /// from it vanish.
    pub fn full_length(name: &'a str, axis: &'static str) -> Self {
        Self { name, given: Given::Length(axis) }
    }
}

/// A network from an ONNX file.
#[derive(Debug)]
pub struct Onnx {
    runner: Runner,
}

impl Onnx {
    /// Opens `path`, from all its inputs to all its outputs. `inputs`: the shape of every input in
    /// the file's order, which overrides what the file says; element types are the file's.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be read, is no ONNX model, or holds operators or shapes
    /// that cannot be worked out.
    pub fn open(path: &Path, inputs: &[Vec<Dim>]) -> Result<Self, Error> {
        OnnxFile::read(path)?.whole(inputs)
    }

    /// Runs the network on this thread. Tensors are in the order of its inputs and outputs.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Run`] if number, type or shape of the inputs do not fit.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.runner.run(inputs)
    }

    /// What it consists of, in order, without inputs and constants.
    #[cfg(test)]
    fn operators(&self) -> Vec<String> {
        self.runner.operators()
    }
}
