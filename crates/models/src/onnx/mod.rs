//! Reads the structure of an ONNX file without its weights (field numbers: `onnx/onnx.proto`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use protobuf::{Span, Value};

type Reader = protobuf::Reader<BufReader<File>>;

/// Bytes of the name of a tensor or operator; anything longer is not a name.
const MAX_NAME: u64 = 1 << 16;
/// Bytes of one metadata value: sherpa-onnx stores a punctuation model's vocabulary in one (5 MB).
const MAX_METADATA: u64 = 1 << 26;
/// Number of inputs, of outputs, of dimensions or of metadata: more than any speech model has.
const MAX_COUNT: usize = 4096;

/// Operators that occur only in quantized graphs: ONNX's own and ONNX Runtime's fused ones.
const QUANTIZED: [&str; 10] = [
    "DynamicQuantizeLinear",
    "DynamicQuantizeLSTM",
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

/// Structure of an ONNX file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// `metadata_props`: sherpa-onnx stores a model's constants here.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Number of nodes.
    pub(crate) nodes: usize,
    /// Whether it computes with integers.
    pub(crate) is_quantized: bool,
    /// Whether most weights are 16-bit floats.
    pub(crate) is_half: bool,
    /// Other files that hold its weights, and the number of bytes that it has in each, from the file's
    /// beginning to its last weight.
    pub(crate) external: BTreeMap<String, u64>,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Sizes of the axes; `None`: any size.
    pub(crate) dimensions: Vec<Option<u64>>,
}

/// Why a file is not an ONNX model. The message follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("a Git LFS pointer, not the file itself: `git lfs pull` fetches it")]
    GitLfsPointer,
    #[error("not an ONNX model, or a damaged one: {0}")]
    Malformed(protobuf::Error),
    #[error("not an ONNX model, or a damaged one: it holds no graph")]
    NoGraph,
    #[error("not an ONNX model, or a damaged one: too many {0}")]
    TooMany(&'static str),
    #[error(
        "not an ONNX model, or a damaged one: the place of a weight in another file is not a number"
    )]
    NoPlace,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<protobuf::Error> for GraphError {
    fn from(error: protobuf::Error) -> Self {
        Self::Malformed(error)
    }
}

impl Port {
    /// Returns the size of the last axis, where the graph fixes it.
    pub(crate) fn width(&self) -> Option<u64> {
        *self.dimensions.last()?
    }
}

impl Graph {
    /// Reads the structure of the file at `path`.
    ///
    /// # Errors
    /// Why the file is not an ONNX model.
    pub(crate) fn open(path: &Path) -> Result<Self, GraphError> {
        refuse_git_lfs_pointer(path)?;
        let mut reader = Reader::open(path)?;
        let mut graph = Self::default();
        let mut elements = WeightElements::default();
        let mut has_graph = false;
        let mut model = reader.input();
        while let Some(field) = reader.next_field(&mut model)? {
            match (field.number, field.value) {
                (7, Value::Bytes(message)) => {
                    has_graph = true;
                    graph.read_graph(&mut reader, message, &mut elements)?;
                }
                (14, Value::Bytes(message)) => graph.read_metadata(&mut reader, message)?,
                _ => {}
            }
        }
        if !has_graph || graph.nodes == 0 || graph.outputs.is_empty() {
            return Err(GraphError::NoGraph);
        }
        graph.is_half = elements.half > elements.float;
        Ok(graph)
    }

    /// Returns the input of this name.
    pub(crate) fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// Returns the output of this name.
    pub(crate) fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name == name)
    }

    /// Reads `GraphProto`.
    fn read_graph(
        &mut self,
        reader: &mut Reader,
        mut message: Span,
        elements: &mut WeightElements,
    ) -> Result<(), GraphError> {
        while let Some(field) = reader.next_field(&mut message)? {
            match (field.number, field.value) {
                (1, Value::Bytes(node)) => self.read_node(reader, node)?,
                (5, Value::Bytes(tensor)) => self.read_initializer(reader, tensor, elements)?,
                (11, Value::Bytes(port)) => push(&mut self.inputs, read_port(reader, port)?)?,
                (12, Value::Bytes(port)) => push(&mut self.outputs, read_port(reader, port)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads `NodeProto`.
    fn read_node(&mut self, reader: &mut Reader, mut message: Span) -> Result<(), GraphError> {
        self.nodes += 1;
        while let Some(field) = reader.next_field(&mut message)? {
            if let (4, Value::Bytes(operator)) = (field.number, field.value) {
                let operator = reader.string(&operator, MAX_NAME)?;
                self.is_quantized |= QUANTIZED.contains(&operator.as_str());
            }
        }
        Ok(())
    }

    /// Reads `TensorProto`, except its values.
    fn read_initializer(
        &mut self,
        reader: &mut Reader,
        mut message: Span,
        elements: &mut WeightElements,
    ) -> Result<(), GraphError> {
        let (mut count, mut data_type) = (1_u64, 0);
        let mut place = Place::default();
        while let Some(field) = reader.next_field(&mut message)? {
            match (field.number, field.value) {
                (1, Value::Varint(size)) => count = count.saturating_mul(size),
                (1, Value::Bytes(mut sizes)) => {
                    while let Some(size) = reader.next_varint(&mut sizes)? {
                        count = count.saturating_mul(size);
                    }
                }
                (2, Value::Varint(value)) => data_type = value,
                (13, Value::Bytes(entry)) => place.read(read_entry(reader, entry, MAX_NAME)?)?,
                _ => {}
            }
        }
        match data_type {
            FLOAT => elements.float = elements.float.saturating_add(count),
            FLOAT16 => elements.half = elements.half.saturating_add(count),
            _ => {}
        }
        let Some(file) = place.file else { return Ok(()) };
        if self.external.len() < MAX_COUNT || self.external.contains_key(&file) {
            let length = place.length.unwrap_or(count.saturating_mul(element_bytes(data_type)));
            let end = self.external.entry(file).or_default();
            *end = place.offset.saturating_add(length).max(*end);
        }
        Ok(())
    }

    fn read_metadata(&mut self, reader: &mut Reader, message: Span) -> Result<(), GraphError> {
        let (key, value) = read_entry(reader, message, MAX_METADATA)?;
        if self.metadata.len() >= MAX_COUNT {
            return Err(GraphError::TooMany("metadata"));
        }
        self.metadata.insert(key, value);
        Ok(())
    }
}

/// Where the values of a weight are in another file.
#[derive(Default)]
struct Place {
    file: Option<String>,
    /// In bytes.
    offset: u64,
    /// In bytes; some exporters leave it out.
    length: Option<u64>,
}

impl Place {
    /// Reads an entry of `TensorProto.external_data`.
    fn read(&mut self, (key, value): (String, String)) -> Result<(), GraphError> {
        let number = || value.parse().map_err(|_| GraphError::NoPlace);
        match key.as_str() {
            "location" => self.file = Some(value),
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }
}

/// Returns the bytes of one element of this `TensorProto.DataType`, 0 for types that no weight has.
fn element_bytes(data_type: u64) -> u64 {
    match data_type {
        2 | 3 => 1,
        FLOAT16 | 4 | 5 | 16 => 2,
        FLOAT | 6 => 4,
        7 | 11 => 8,
        _ => 0,
    }
}

/// Number of elements of all weights, by type.
#[derive(Default)]
struct WeightElements {
    float: u64,
    half: u64,
}

fn push(ports: &mut Vec<Port>, port: Port) -> Result<(), GraphError> {
    if ports.len() >= MAX_COUNT {
        return Err(GraphError::TooMany("inputs or outputs"));
    }
    ports.push(port);
    Ok(())
}

/// Reads `StringStringEntryProto`, whose value may have `limit` bytes.
fn read_entry(
    reader: &mut Reader,
    mut message: Span,
    limit: u64,
) -> Result<(String, String), GraphError> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some(field) = reader.next_field(&mut message)? {
        match (field.number, field.value) {
            (1, Value::Bytes(text)) => key = reader.string(&text, MAX_NAME)?,
            (2, Value::Bytes(text)) => value = reader.string(&text, limit)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Reads `ValueInfoProto`, down to the dimensions of its tensor type.
fn read_port(reader: &mut Reader, mut message: Span) -> Result<Port, GraphError> {
    let mut port = Port::default();
    while let Some(field) = reader.next_field(&mut message)? {
        match (field.number, field.value) {
            (1, Value::Bytes(name)) => port.name = reader.string(&name, MAX_NAME)?,
            // Nested messages: type, tensor_type, shape.
            (2, Value::Bytes(kind)) => {
                read_dimensions(reader, kind, &[1, 2], &mut port.dimensions)?;
            }
            _ => {}
        }
    }
    Ok(port)
}

/// Follows the field numbers of `path` to a `TensorShapeProto` and reads its dimensions.
fn read_dimensions(
    reader: &mut Reader,
    mut message: Span,
    path: &[u64],
    dimensions: &mut Vec<Option<u64>>,
) -> Result<(), GraphError> {
    while let Some(field) = reader.next_field(&mut message)? {
        match (path, field.number, field.value) {
            ([next, rest @ ..], number, Value::Bytes(inner)) if number == *next => {
                read_dimensions(reader, inner, rest, dimensions)?;
            }
            ([], 1, Value::Bytes(dimension)) => {
                if dimensions.len() >= MAX_COUNT {
                    return Err(GraphError::TooMany("dimensions"));
                }
                dimensions.push(read_dimension(reader, dimension)?);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_dimension(reader: &mut Reader, mut message: Span) -> Result<Option<u64>, GraphError> {
    let mut size = None;
    while let Some(field) = reader.next_field(&mut message)? {
        if let (1, Value::Varint(value)) = (field.number, field.value) {
            size = Some(value);
        }
    }
    Ok(size)
}

/// Refuses the short text that a clone without Git LFS has in place of a large file.
fn refuse_git_lfs_pointer(path: &Path) -> Result<(), GraphError> {
    let mut head = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut head)?;
    if head.starts_with(b"version https://git-lfs") {
        return Err(GraphError::GitLfsPointer);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
