//! Writes the messages of an ONNX file (field numbers: `onnx/onnx.proto`).

use protobuf::{write_bytes, write_varint};

use super::checkpoint::Parameter;

/// `TensorProto.DataType`
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// Value of an attribute of a node.
pub(super) enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
}

/// Length of an axis of an input or output.
pub(super) enum Axis<'a> {
    Fixed(usize),
    /// Any length, under this name.
    Any(&'a str),
}

/// Returns a `TensorProto` of f32.
pub(super) fn tensor(parameter: &Parameter) -> Vec<u8> {
    let bytes: Vec<u8> = parameter.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw_tensor(&parameter.name, &parameter.shape, FLOAT, &bytes)
}

/// Returns a `TensorProto` of one axis of i64.
pub(super) fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw_tensor(name, &[values.len()], INT64, &bytes)
}

fn raw_tensor(name: &str, shape: &[usize], data_type: u64, bytes: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::with_capacity(bytes.len() + name.len() + 100);
    for &length in shape {
        write_number(&mut tensor, 1, length as u64);
    }
    write_number(&mut tensor, 2, data_type);
    write_bytes(&mut tensor, 8, name.as_bytes());
    write_bytes(&mut tensor, 9, bytes);
    tensor
}

/// Returns a `NodeProto`, which is named after its first output.
pub(super) fn node(
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[(&str, Attribute<'_>)],
) -> Vec<u8> {
    let mut node = Vec::new();
    for (number, names) in [(1, inputs), (2, outputs), (3, &outputs[..1]), (4, &[operator][..])] {
        for name in names {
            write_bytes(&mut node, number, name.as_bytes());
        }
    }
    for (name, value) in attributes {
        write_bytes(&mut node, 5, &attribute(name, value));
    }
    node
}

/// Returns an `AttributeProto`.
fn attribute(name: &str, value: &Attribute<'_>) -> Vec<u8> {
    let mut attribute = Vec::new();
    write_bytes(&mut attribute, 1, name.as_bytes());
    // `AttributeProto.AttributeType`
    let kind = match value {
        Attribute::Float(value) => {
            // A field of four bytes, wire type 5.
            write_varint(&mut attribute, 2 << 3 | 5);
            attribute.extend(value.to_le_bytes());
            1
        }
        Attribute::Int(value) => {
            write_number(&mut attribute, 3, *value as u64);
            2
        }
        Attribute::Text(text) => {
            write_bytes(&mut attribute, 4, text.as_bytes());
            3
        }
        Attribute::Ints(values) => {
            for &value in *values {
                write_number(&mut attribute, 8, value as u64);
            }
            7
        }
    };
    write_number(&mut attribute, 20, kind);
    attribute
}

/// Returns the `ValueInfoProto` of an input or output of f32.
pub(super) fn port(name: &str, axes: &[Axis<'_>]) -> Vec<u8> {
    let mut shape = Vec::new();
    for axis in axes {
        let mut dimension = Vec::new();
        match axis {
            Axis::Fixed(length) => write_number(&mut dimension, 1, *length as u64),
            Axis::Any(name) => write_bytes(&mut dimension, 2, name.as_bytes()),
        }
        write_bytes(&mut shape, 1, &dimension);
    }
    let mut tensor = Vec::new();
    write_number(&mut tensor, 1, FLOAT);
    write_bytes(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    write_bytes(&mut kind, 1, &tensor);
    let mut port = Vec::new();
    write_bytes(&mut port, 1, name.as_bytes());
    write_bytes(&mut port, 2, &kind);
    port
}

/// Returns a `ModelProto` of IR version 7 and opset 13 with this `GraphProto` and metadata.
pub(super) fn model(graph: &[u8], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut opset = Vec::new();
    write_bytes(&mut opset, 1, b"");
    write_number(&mut opset, 2, 13);
    let mut model = Vec::with_capacity(graph.len() + 2000);
    write_number(&mut model, 1, 7);
    write_bytes(&mut model, 2, b"scriptorium");
    write_bytes(&mut model, 7, graph);
    write_bytes(&mut model, 8, &opset);
    for (key, value) in metadata {
        let mut entry = Vec::new();
        write_bytes(&mut entry, 1, key.as_bytes());
        write_bytes(&mut entry, 2, value.as_bytes());
        write_bytes(&mut model, 14, &entry);
    }
    model
}

/// Appends a varint field.
fn write_number(message: &mut Vec<u8>, number: u64, value: u64) {
    write_varint(message, number << 3);
    write_varint(message, value);
}
