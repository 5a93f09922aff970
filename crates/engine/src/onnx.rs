use std::path::Path;

use tract_onnx::prelude::*;

use crate::{Error, runner::Runner};

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

/// A network from an ONNX file.
#[derive(Debug)]
pub struct Onnx {
    runner: Runner,
}

impl Onnx {
    /// Opens `path`. `inputs`: the shape of every input in the file's order, which overrides what
    /// the file says; element types are the file's.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be read, is no ONNX model, or holds operators or shapes
    /// that tract cannot work out.
    pub fn open(path: &Path, inputs: &[Vec<Dim>]) -> Result<Self, Error> {
        let mut model =
            tract_onnx::onnx().model_for_path(path).map_err(|error| Error::model(path, error))?;
        let expected = model.inputs.len();
        if inputs.len() != expected {
            let message = format!("has {expected} inputs, not {}", inputs.len());
            return Err(Error::model(path, message));
        }
        for (index, dims) in inputs.iter().enumerate() {
            let shape: Vec<TDim> = dims
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(length) => length.to_dim(),
                    Dim::Symbol(name) => model.symbols.sym(name).to_dim(),
                })
                .collect();
            model
                .input_fact(index)
                .map(|fact| fact.clone().with_shape(shape))
                .and_then(|fact| model.set_input_fact(index, fact))
                .map_err(|error| Error::model(path, error))?;
        }
        // Shapes that the exporter wrote down for the outputs may contradict those given.
        for index in 0..model.outputs.len() {
            model
                .set_output_fact(index, Default::default())
                .map_err(|error| Error::model(path, error))?;
        }
        let runner =
            model.into_typed().and_then(Runner::new).map_err(|error| Error::model(path, error))?;
        Ok(Self { runner })
    }

    /// Runs the network on this thread. Tensors are in the file's order of inputs and outputs.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Run`] if number, type or shape of the inputs do not fit.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.runner.run(inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_serves_threads() {
        // y = x + x over a symbolic axis, written by hand: ONNX's protobuf in the raw.
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("double.onnx");
        std::fs::write(&path, DOUBLE).expect("write model");
        let network = Onnx::open(&path, &[vec![2.into(), "n".into()]]).expect("open");
        std::thread::scope(|scope| {
            for length in 1..5 {
                let network = &network;
                scope.spawn(move || {
                    let values = vec![length as f32; 2 * length];
                    let input = crate::tensor(&[2, length], &values).expect("tensor");
                    let output = network.run(vec![input]).expect("run");
                    assert_eq!(output[0].shape(), [2, length]);
                    let doubled = crate::values::<f32>(&output[0]).expect("f32");
                    assert!(doubled.iter().all(|&value| value == 2.0 * length as f32));
                });
            }
        });
    }

    #[test]
    fn bad_input_is_an_error() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("double.onnx");
        assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "missing file");
        std::fs::write(&path, b"no model").expect("write model");
        assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "no ONNX");
        std::fs::write(&path, DOUBLE).expect("write model");
        assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "input not named");
        let network = Onnx::open(&path, &[vec![2.into(), "n".into()]]).expect("open");
        assert!(matches!(network.run(vec![]), Err(Error::Input(_))), "no input");
        let wrong = crate::tensor(&[3, 1], &[0f32; 3]).expect("tensor");
        assert!(matches!(network.run(vec![wrong]), Err(Error::Run(_))), "wrong shape");
    }

    /// ModelProto: ir 8, opset 14, graph `g` { y = Add(x, x); x, y: f32 of unknown shape }.
    const DOUBLE: &[u8] = b"\x08\x08\x42\x04\x0a\x00\x10\x0e\x3a\x29\
        \x0a\x0e\x0a\x01x\x0a\x01x\x12\x01y\x22\x03Add\
        \x12\x01g\
        \x5a\x09\x0a\x01x\x12\x04\x0a\x02\x08\x01\
        \x62\x09\x0a\x01y\x12\x04\x0a\x02\x08\x01";
}
