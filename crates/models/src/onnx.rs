//! What an ONNX file says of itself, without its weights (field numbers: `onnx/onnx.proto`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::protobuf::{Payload, Walker};

/// Names of tensors and operators; longer ones are not names.
const NAME_LIMIT: u64 = 1 << 16;
/// sherpa-onnx keeps a punctuation model's whole vocabulary in one value (5 MB).
const METADATA_LIMIT: u64 = 1 << 26;
/// More inputs, outputs or metadata than any speech model has.
const COUNT_LIMIT: usize = 4096;

/// Operators that only a quantized graph has, ONNX's own and ONNX Runtime's fused ones.
const QUANTIZED: [&str; 9] = [
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "QLinearMatMul",
    "QLinearConv",
    "QuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "MatMulNBits",
];

/// Element types, from `TensorProto.DataType`.
const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;

/// The outside of a graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// `metadata_props`: sherpa-onnx keeps a model's constants here.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) nodes: usize,
    /// Computes with integers.
    pub(crate) is_quantized: bool,
    /// Most weights are 16-bit floats.
    pub(crate) is_half: bool,
    /// Files beside this one that hold its weights.
    pub(crate) external: BTreeSet<String>,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// `None`: any size.
    pub(crate) dimensions: Vec<Option<u64>>,
}

impl Port {
    /// Size of the last axis, where the graph fixes it.
    pub(crate) fn width(&self) -> Option<u64> {
        *self.dimensions.last()?
    }
}

impl Graph {
    /// # Errors
    /// Says why the file is no ONNX model, in words for a user.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        refuse_pointer(path)?;
        let mut walker = Walker::open(path)?;
        let mut graph = Self::default();
        let mut weights = Weights::default();
        let mut found = false;
        let end = walker.length();
        let malformed = |cause: String| format!("not an ONNX model, or a damaged one: {cause}");
        while let Some((number, payload)) = walker.field(end).map_err(malformed)? {
            match (number, payload) {
                (7, Payload::Bytes { end }) => {
                    found = true;
                    graph.read_graph(&mut walker, end, &mut weights)
                }
                (14, Payload::Bytes { end }) => graph.read_metadata(&mut walker, end),
                (_, payload) => walker.skip(payload),
            }
            .map_err(malformed)?;
        }
        if !found || graph.nodes == 0 || graph.outputs.is_empty() {
            return Err(malformed("it holds no graph".into()));
        }
        graph.is_half = weights.half > weights.float;
        Ok(graph)
    }

    pub(crate) fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    pub(crate) fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }

    fn read_graph(
        &mut self,
        walker: &mut Walker,
        end: u64,
        weights: &mut Weights,
    ) -> Result<(), String> {
        while let Some((number, payload)) = walker.field(end)? {
            match (number, payload) {
                (1, Payload::Bytes { end }) => self.read_node(walker, end)?,
                (5, Payload::Bytes { end }) => self.read_weight(walker, end, weights)?,
                (11, Payload::Bytes { end }) => push(&mut self.inputs, port(walker, end)?)?,
                (12, Payload::Bytes { end }) => push(&mut self.outputs, port(walker, end)?)?,
                (_, payload) => walker.skip(payload)?,
            }
        }
        Ok(())
    }

    fn read_node(&mut self, walker: &mut Walker, end: u64) -> Result<(), String> {
        self.nodes += 1;
        while let Some((number, payload)) = walker.field(end)? {
            match (number, payload) {
                (4, Payload::Bytes { end }) => {
                    let operator = walker.string(end, NAME_LIMIT)?;
                    self.is_quantized |= QUANTIZED.contains(&operator.as_str());
                }
                (_, payload) => walker.skip(payload)?,
            }
        }
        Ok(())
    }

    fn read_weight(
        &mut self,
        walker: &mut Walker,
        end: u64,
        weights: &mut Weights,
    ) -> Result<(), String> {
        let (mut elements, mut kind) = (1_u64, 0);
        while let Some((number, payload)) = walker.field(end)? {
            match (number, payload) {
                (1, Payload::Varint(size)) => elements = elements.saturating_mul(size),
                (1, Payload::Bytes { end }) => {
                    while walker.is_before(end) {
                        elements = elements.saturating_mul(walker.varint(end)?);
                    }
                }
                (2, Payload::Varint(value)) => kind = value,
                (13, Payload::Bytes { end }) => {
                    let (key, value) = pair(walker, end, NAME_LIMIT)?;
                    if key == "location" && self.external.len() < COUNT_LIMIT {
                        self.external.insert(value);
                    }
                }
                (_, payload) => walker.skip(payload)?,
            }
        }
        match kind {
            FLOAT => weights.float = weights.float.saturating_add(elements),
            FLOAT16 => weights.half = weights.half.saturating_add(elements),
            _ => {}
        }
        Ok(())
    }

    fn read_metadata(&mut self, walker: &mut Walker, end: u64) -> Result<(), String> {
        let (key, value) = pair(walker, end, METADATA_LIMIT)?;
        if self.metadata.len() >= COUNT_LIMIT {
            return Err("too many metadata".into());
        }
        self.metadata.insert(key, value);
        Ok(())
    }
}

/// Elements of the weights, by type.
#[derive(Default)]
struct Weights {
    float: u64,
    half: u64,
}

fn push(ports: &mut Vec<Port>, port: Port) -> Result<(), String> {
    if ports.len() >= COUNT_LIMIT {
        return Err("too many inputs or outputs".into());
    }
    ports.push(port);
    Ok(())
}

/// `StringStringEntryProto`.
fn pair(walker: &mut Walker, end: u64, limit: u64) -> Result<(String, String), String> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some((number, payload)) = walker.field(end)? {
        match (number, payload) {
            (1, Payload::Bytes { end }) => key = walker.string(end, NAME_LIMIT)?,
            (2, Payload::Bytes { end }) => value = walker.string(end, limit)?,
            (_, payload) => walker.skip(payload)?,
        }
    }
    Ok((key, value))
}

/// `ValueInfoProto`, down to the dimensions of its tensor type.
fn port(walker: &mut Walker, end: u64) -> Result<Port, String> {
    let mut port = Port::default();
    while let Some((number, payload)) = walker.field(end)? {
        match (number, payload) {
            (1, Payload::Bytes { end }) => port.name = walker.string(end, NAME_LIMIT)?,
            // type, tensor_type, shape: one message in the other.
            (2, Payload::Bytes { end }) => descend(walker, end, &[1, 2], &mut port.dimensions)?,
            (_, payload) => walker.skip(payload)?,
        }
    }
    Ok(port)
}

/// Follows the field numbers of `path` to a `TensorShapeProto` and reads its dimensions.
fn descend(
    walker: &mut Walker,
    end: u64,
    path: &[u64],
    dimensions: &mut Vec<Option<u64>>,
) -> Result<(), String> {
    while let Some((number, payload)) = walker.field(end)? {
        match (path, number, payload) {
            ([next, rest @ ..], number, Payload::Bytes { end }) if number == *next => {
                descend(walker, end, rest, dimensions)?;
            }
            ([], 1, Payload::Bytes { end }) => {
                if dimensions.len() >= COUNT_LIMIT {
                    return Err("too many dimensions".into());
                }
                dimensions.push(dimension(walker, end)?);
            }
            (_, _, payload) => walker.skip(payload)?,
        }
    }
    Ok(())
}

fn dimension(walker: &mut Walker, end: u64) -> Result<Option<u64>, String> {
    let mut size = None;
    while let Some((number, payload)) = walker.field(end)? {
        match (number, payload) {
            (1, Payload::Varint(value)) => size = Some(value),
            (_, payload) => walker.skip(payload)?,
        }
    }
    Ok(size)
}

/// A clone made without Git LFS holds short texts in place of the large files.
fn refuse_pointer(path: &Path) -> Result<(), String> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(64).read_to_end(&mut head).map_err(|error| error.to_string())?;
    if head.starts_with(b"version https://git-lfs") {
        return Err("a Git LFS pointer, not the file itself: `git lfs pull` fetches it".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
