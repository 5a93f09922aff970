//! Reads a model without its weights.
//!
//! An ONNX file is one protobuf message of hundreds of megabytes, nearly all of it weights. The outer
//! levels are walked here: everything is copied except the `raw_data` of the graph's initializers, of
//! which only the place is noted. The copy is a model again, which prost decodes. Lengths are checked
//! against the enclosing message before anything is read or allocated.

use std::{
    io::{self, BufReader, Read, Seek},
    ops::Range,
};

use protobuf::{Field, Reader, Span, Value, write_bytes};
use tract_onnx::{pb, prelude::*, tract_core::internal::TractError};

use super::{TRACT, source::Source};

/// Fields of `onnx.proto`: `ModelProto.graph`, `GraphProto.initializer`, `TensorProto.raw_data`.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;
/// Bytes that are read ahead: several small fields at once.
const READ_AHEAD: usize = 1 << 16;

/// A model without its weights.
pub(super) struct Scanned {
    pub(super) model: pb::ModelProto,
    /// Place of each initializer's values in the source; `None` where they are part of `model`.
    pub(super) raw: Vec<Option<Range<u64>>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wire(#[from] protobuf::Error),
    #[error("{0:#}")]
    Protobuf(TractError),
}

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

/// Place of an initializer's values in the source.
type Place = Option<Range<u64>>;

/// Returns the model without the `raw_data` of its initializers, and the place of each.
fn strip<R: Read + Seek>(mut reader: Reader<R>) -> Result<(Vec<u8>, Vec<Place>), protobuf::Error> {
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
            let (mut stripped_tensor, mut place) = (Vec::new(), None);
            while let Some(field) = reader.next_field(&mut tensor)? {
                match content(&field, RAW_DATA) {
                    Some(values) => place = Some(values.range()),
                    None => reader.append(field.range, &mut stripped_tensor)?,
                }
            }
            raw.push(place);
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
