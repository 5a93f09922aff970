//! Reads a model without its weights.
//!
//! An ONNX file is one protobuf message of hundreds of megabytes, nearly all of it weights. This module
//! copies its fields, except the `raw_data` of the graph's initializers, of which it returns the
//! ranges. The copy is a model again, which prost decodes. Lengths are checked against the enclosing
//! message before anything is read or allocated.

use std::{
    io::{self, BufReader, Read, Seek},
    ops::Range,
};

use protobuf::{Field, Reader, Span, Value, write_bytes};
use tract_onnx::{pb, prelude::*, tract_core::internal::TractError};

use super::{source::Source, tract::TRACT};

/// Fields of `onnx.proto`: `ModelProto.graph`, `GraphProto.initializer`, `TensorProto.raw_data`.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;
/// Number of bytes that are read at once, enough for many small fields.
const READ_AHEAD: usize = 1 << 16;

/// A model without its weights.
pub(super) struct Scanned {
    pub(super) model: pb::ModelProto,
    /// Range in the source of each initializer's values, `None` if they are part of `model`.
    pub(super) raw: Vec<Option<Range<u64>>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wire(#[from] protobuf::Error),
    #[error("the protobuf message is not a model")]
    Protobuf(#[source] TractError),
}

/// Reads the model, and finds the values of its initializers.
pub(super) fn scan(source: &Source) -> Result<Scanned, ScanError> {
    let (bytes, raw) = match source {
        Source::File { file, .. } => {
            strip(Reader::new(BufReader::with_capacity(READ_AHEAD, file))?)?
        }
        Source::Memory(bytes) => strip(Reader::from_slice(bytes))?,
    };
    let model = TRACT.proto_model_for_read(&mut bytes.as_slice());
    Ok(Scanned { model: model.map_err(ScanError::Protobuf)?, raw })
}

/// Range of an initializer's values in the source.
type RawRange = Option<Range<u64>>;

/// Returns the model without the `raw_data` of its initializers, and the range of each.
fn strip<R: Read + Seek>(
    mut reader: Reader<R>,
) -> Result<(Vec<u8>, Vec<RawRange>), protobuf::Error> {
    let (mut bytes, mut raw) = (Vec::new(), Vec::new());
    let mut model = reader.input();
    while let Some(field) = reader.next_field(&mut model)? {
        let Some(mut graph) = content(&field, GRAPH) else {
            reader.append(field.range, &mut bytes)?;
            continue;
        };
        let mut stripped_graph = Vec::new();
        while let Some(field) = reader.next_field(&mut graph)? {
            let Some(mut tensor) = content(&field, INITIALIZER) else {
                reader.append(field.range, &mut stripped_graph)?;
                continue;
            };
            let (mut stripped_tensor, mut range) = (Vec::new(), None);
            while let Some(field) = reader.next_field(&mut tensor)? {
                match content(&field, RAW_DATA) {
                    Some(values) => range = Some(values.range()),
                    None => reader.append(field.range, &mut stripped_tensor)?,
                }
            }
            raw.push(range);
            write_bytes(&mut stripped_graph, INITIALIZER, &stripped_tensor);
        }
        write_bytes(&mut bytes, GRAPH, &stripped_graph);
    }
    Ok((bytes, raw))
}

/// Returns the content of a field that is a message or bytes and has this number.
fn content(field: &Field, number: u32) -> Option<Span> {
    match &field.value {
        Value::Bytes(content) if field.number == u64::from(number) => Some(content.clone()),
        _ => None,
    }
}
