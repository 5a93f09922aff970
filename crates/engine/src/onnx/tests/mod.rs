//! Tests of ONNX files, and helpers that build them.

mod argmax;
mod cutting;
mod external;
mod fused;
mod lazy;
mod models;
mod profile;
mod quantized;

#[path = "../../../../../tests/support/npz.rs"]
mod npz;

use std::{io::Read, path::Path};

use errors::Chain;
use tract_onnx::{pb, prelude::*};

use super::{
    file::{Fusion, OnnxFile},
    input::Input,
    network::OnnxNetwork,
    node::OnnxNode,
    source::Source,
    tensors::ExternalData,
};
use crate::{dim::Dim, error::Error, precision::Precision};

/// Returns the directory of FunASR's fixtures.
fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr")
}

/// Opens a model of the fixtures: `model` or `model_quant`.
fn fixture(model: &str, name: &str) -> OnnxFile {
    let path = fixtures().join(model).join(format!("{name}.onnx.gz"));
    let packed = std::fs::read(&path).expect("a fixture");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut bytes).expect("gzip");
    OnnxFile::parse(&path, &bytes).expect("a model")
}

/// Returns the message of an error with those of its sources, as the command line prints it.
fn chain(error: Error) -> String {
    Chain(&error).to_string()
}

/// Makes a file of these nodes and weights. Its outputs are those of the last node.
fn file(nodes: Vec<OnnxNode>, weights: Vec<(&str, Tensor)>) -> OnnxFile {
    let graph = pb::GraphProto {
        output: nodes
            .last()
            .map_or(&[][..], |node| node.outputs())
            .iter()
            .map(|name| port(name))
            .collect(),
        node: nodes.into_iter().map(|node| node.proto).collect(),
        initializer: weights.iter().map(|(name, tensor)| initializer(name, tensor)).collect(),
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { version: 14, ..Default::default() };
    let metadata = pb::StringStringEntryProto { key: "vocab_size".into(), value: "7".into() };
    let model = pb::ModelProto {
        graph: Some(graph),
        opset_import: vec![opset],
        metadata_props: vec![metadata],
        ..Default::default()
    };
    from_proto(Path::new("built.onnx"), model).expect("a file")
}

fn from_proto(path: &Path, model: pb::ModelProto) -> Result<OnnxFile, Error> {
    OnnxFile::new(path, model, &[], Source::Memory(Box::default()), ExternalData::default())
}

fn port(name: &str) -> pb::ValueInfoProto {
    pb::ValueInfoProto { name: name.to_owned(), ..Default::default() }
}

fn initializer(name: &str, tensor: &Tensor) -> pb::TensorProto {
    use pb::tensor_proto::DataType;
    let mut proto = pb::TensorProto {
        name: name.to_owned(),
        dims: tensor.shape().iter().map(|&dim| dim as i64).collect(),
        ..Default::default()
    };
    let values = |data: &mut Vec<i32>| match crate::values::<u8>(tensor) {
        Ok(bytes) => data.extend(bytes.iter().map(|&byte| i32::from(byte))),
        Err(_) => data.extend(crate::values::<i32>(tensor).expect("numbers")),
    };
    proto.data_type = match tensor.datum_type() {
        DatumType::F32 => {
            proto.float_data = crate::values(tensor).expect("floats").to_vec();
            DataType::Float
        }
        DatumType::I64 => {
            proto.int64_data = crate::values(tensor).expect("numbers").to_vec();
            DataType::Int64
        }
        DatumType::U8 => {
            values(&mut proto.int32_data);
            DataType::Uint8
        }
        DatumType::I8 => {
            let bytes = crate::values::<i8>(tensor).expect("bytes");
            proto.int32_data = bytes.iter().map(|&byte| i32::from(byte)).collect();
            DataType::Int8
        }
        _ => {
            values(&mut proto.int32_data);
            DataType::Int32
        }
    } as i32;
    proto
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> OnnxNode {
    let mut node = OnnxNode::with(op, inputs, outputs[0]);
    node.proto.output = outputs.iter().map(|&output| output.to_owned()).collect();
    node
}

/// Adds an attribute to a node.
fn with(mut node: OnnxNode, name: &str, value: &[i64]) -> OnnxNode {
    use pb::attribute_proto::AttributeType;
    let (kind, i) = match value {
        [one] if !["axes", "kernel_shape"].contains(&name) => (AttributeType::Int, *one),
        _ => (AttributeType::Ints, 0),
    };
    node.proto.attribute.push(pb::AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        i,
        ints: value.to_vec(),
        ..Default::default()
    });
    node
}

fn open(path: &Path, shapes: &[Vec<Dim>]) -> Result<OnnxNetwork, Error> {
    OnnxFile::read(path)?.full_network(shapes)
}

#[test]
fn one_instance_serves_threads() {
    // y = x + x over a symbolic axis.
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("double.onnx");
    std::fs::write(&path, DOUBLE).expect("write model");
    let network = open(&path, &[vec![2.into(), "n".into()]]).expect("open");
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
    assert!(matches!(open(&path, &[]), Err(Error::Read { .. })), "missing file");
    std::fs::write(&path, b"no model").expect("write model");
    assert!(matches!(open(&path, &[]), Err(Error::Model { .. })), "not ONNX");
    std::fs::write(&path, DOUBLE).expect("write model");
    assert!(matches!(open(&path, &[]), Err(Error::Model { .. })), "no shape of the input");
    let network = open(&path, &[vec![2.into(), "n".into()]]).expect("open");
    assert!(matches!(network.run(vec![]), Err(Error::Input(_))), "no input");
    let wrong = crate::tensor(&[3, 1], &[0f32; 3]).expect("tensor");
    assert!(matches!(network.run(vec![wrong]), Err(Error::Run(_))), "wrong shape");
}

/// A `ModelProto` in protobuf: ir 8, opset 14, graph `g` { y = Add(x, x); x, y: f32 of unknown
/// shape }.
const DOUBLE: &[u8] = b"\x08\x08\x42\x04\x0a\x00\x10\x0e\x3a\x29\
    \x0a\x0e\x0a\x01x\x0a\x01x\x12\x01y\x22\x03Add\
    \x12\x01g\
    \x5a\x09\x0a\x01x\x12\x04\x0a\x02\x08\x01\
    \x62\x09\x0a\x01y\x12\x04\x0a\x02\x08\x01";
