//! The graph of CAM++ for checkpoints, which hold weights only.
//!
//! FunASR and 3D-Speaker publish CAM++ (<https://arxiv.org/abs/2303.00332>) as `torch.save` wrote
//! it. `campplus.onnx.gz` is what 3D-Speaker's exporter makes of the network, less the weights and
//! with its parameters under their own names: tests/fixtures/campplus/make.py makes it.

use std::io::Read;

use flate2::read::GzDecoder;

use super::checkpoint::Parameter;

const GRAPH: &[u8] = include_bytes!("campplus.onnx.gz");
/// The last batch norm has no weight and bias of its own, but ONNX wants them.
const LAST_NORM: &str = "xvector.dense.nonlinear.batchnorm";

/// The network as ONNX.
///
/// # Errors
/// Says which parameter is missing.
pub(super) fn onnx(mut parameters: Vec<Parameter>) -> Result<Vec<u8>, String> {
    let mean = format!("{LAST_NORM}.running_mean");
    let width = parameters
        .iter()
        .find(|parameter| parameter.name == mean)
        .map(|parameter| parameter.values.len())
        .ok_or_else(|| format!("is no CAM++: it has no {mean}"))?;
    for (part, value) in [("weight", 1.0), ("bias", 0.0)] {
        let name = format!("{LAST_NORM}.{part}");
        parameters.push(Parameter { name, shape: vec![width], values: vec![value; width] });
    }

    let mut graph = Vec::new();
    for parameter in &parameters {
        // GraphProto.initializer
        field(&mut graph, 5, &tensor(parameter));
    }
    let mut model = Vec::new();
    GzDecoder::new(GRAPH).read_to_end(&mut model).map_err(|error| error.to_string())?;
    // ModelProto.graph: in protobuf, to append a message is to add its fields to the first one's.
    field(&mut model, 7, &graph);
    Ok(model)
}

/// A `TensorProto` of f32.
fn tensor(parameter: &Parameter) -> Vec<u8> {
    let mut out = Vec::with_capacity(parameter.values.len() * 4 + 100);
    for &length in &parameter.shape {
        out.push(1 << 3);
        varint(&mut out, length as u64);
    }
    out.extend([2 << 3, 1]);
    field(&mut out, 8, parameter.name.as_bytes());
    let bytes: Vec<u8> = parameter.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    field(&mut out, 9, &bytes);
    out
}

/// A field that holds bytes, text or a message.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
