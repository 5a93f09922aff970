//! The graph of CAM++, to which a checkpoint adds the weights.
//!
//! FunASR and 3D-Speaker publish CAM++ (<https://arxiv.org/abs/2303.00332>) as `torch.save` wrote
//! it. `campplus.onnx.gz` is the network as 3D-Speaker's exporter writes it, without the weights and
//! with its parameters under their own names: tests/fixtures/campplus/make.py makes it.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use flate2::read::GzDecoder;
use protobuf::{Reader, Span, Value, write_bytes};

use super::ConvertError;
use super::checkpoint::Parameter;
use super::message::{Axis, port, tensor};
use crate::Family;

const GRAPH: &[u8] = include_bytes!("campplus.onnx.gz");
/// The last batch norm has no weight and bias in the checkpoint, but ONNX requires them.
const LAST_NORM: &str = "xvector.dense.nonlinear.batchnorm";
/// The template is part of this program, so reading it needs no limit.
const NO_LIMIT: u64 = u64::MAX;

/// Returns the network with these parameters as an ONNX file. Parameters that the graph does not use
/// are stored too.
///
/// # Errors
/// A parameter is missing or holds a value that is not finite.
pub(super) fn to_onnx(mut parameters: Vec<Parameter>) -> Result<Vec<u8>, ConvertError> {
    let width = add_last_norm(&mut parameters)?;
    let (mut model, mut template) = (Vec::new(), Vec::new());
    GzDecoder::new(GRAPH).read_to_end(&mut template).map_err(protobuf::Error::Io)?;
    let mut reader = Reader::from_slice(&template);
    let mut message = reader.input();
    while let Some(field) = reader.next_field(&mut message)? {
        match (field.number, field.value) {
            // ModelProto.graph
            (7, Value::Bytes(graph)) => {
                let graph = reader.bytes(&graph, NO_LIMIT)?;
                write_bytes(&mut model, 7, &fill(&graph, &parameters, width)?);
            }
            _ => reader.append(field.range, &mut model)?,
        }
    }
    Ok(model)
}

/// Adds the parameters of the last batch norm: ones and zeros. Returns the number of values of an
/// embedding.
fn add_last_norm(parameters: &mut Vec<Parameter>) -> Result<usize, ConvertError> {
    let mean = format!("{LAST_NORM}.running_mean");
    let width = parameters
        .iter()
        .find(|parameter| parameter.name == mean)
        .map(|parameter| parameter.values.len())
        .ok_or_else(|| missing(mean))?;
    for (part, value) in [("weight", 1.0), ("bias", 0.0)] {
        let name = format!("{LAST_NORM}.{part}");
        parameters.push(Parameter { name, shape: vec![width], values: vec![value; width] });
    }
    Ok(width)
}

/// Returns a `GraphProto` with the parameters as initializers and an output of `width` values.
fn fill(graph: &[u8], parameters: &[Parameter], width: usize) -> Result<Vec<u8>, ConvertError> {
    let mut needed = BTreeSet::new();
    let mut provided: BTreeSet<String> =
        parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let mut filled = Vec::new();
    let mut reader = Reader::from_slice(graph);
    let mut message = reader.input();
    while let Some(field) = reader.next_field(&mut message)? {
        match (field.number, field.value) {
            // node: inputs and outputs
            (1, Value::Bytes(node)) => {
                needed.extend(texts(&mut reader, node.clone(), 1)?);
                provided.extend(texts(&mut reader, node, 2)?);
            }
            // input
            (11, Value::Bytes(port)) => provided.extend(texts(&mut reader, port, 1)?),
            // output
            (12, _) => {
                write_bytes(&mut filled, 12, &output(width));
                continue;
            }
            _ => {}
        }
        reader.append(field.range, &mut filled)?;
    }
    if let Some(name) = needed.difference(&provided).next() {
        return Err(missing(name.clone()));
    }
    for parameter in parameters {
        parameter.check_finite()?;
        // initializer
        write_bytes(&mut filled, 5, &tensor(parameter));
    }
    Ok(filled)
}

fn missing(name: String) -> ConvertError {
    ConvertError::Missing { family: Family::CamPlusPlus, name }
}

/// Returns the texts of all fields of `message` with this number.
fn texts(
    reader: &mut Reader<Cursor<&[u8]>>,
    mut message: Span,
    number: u64,
) -> Result<Vec<String>, protobuf::Error> {
    let mut texts = Vec::new();
    while let Some(field) = reader.next_field(&mut message)? {
        if let (true, Value::Bytes(text)) = (field.number == number, field.value) {
            texts.push(reader.string(&text, NO_LIMIT)?);
        }
    }
    Ok(texts)
}

/// Returns the `ValueInfoProto` of the output: `embedding`, f32 `[batch_size, width]`.
fn output(width: usize) -> Vec<u8> {
    port("embedding", &[Axis::Any("batch_size"), Axis::Fixed(width)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_declared_as_in_the_template() {
        let mut template = Vec::new();
        GzDecoder::new(GRAPH).read_to_end(&mut template).unwrap();
        let port = output(192);
        assert!(template.windows(port.len()).any(|window| window == port));
    }
}
