//! Reads a model without its weights.
//!
//! An ONNX file is one protobuf message of hundreds of megabytes, of which weights are all but one
//! or two. Its outer levels are walked here: everything is copied but the `raw_data` of the graph's
//! initializers, of which only the place is noted. What was copied is a model again, for prost.
//! Lengths are checked against the enclosing message before anything is read or allocated.

use std::{io, ops::Range};

use tract_onnx::{pb, prelude::*, tract_core::internal::TractError};

use super::{source::Source, tract::TRACT};

/// Fields of `onnx.proto`: `ModelProto.graph`, `GraphProto.initializer`, `TensorProto.raw_data`.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const RAW_DATA: u64 = 9;
/// How far ahead of what is asked for is read.
const AHEAD: usize = 1 << 16;

/// A model, and where the values of its initializers lie, one by one: `None` where they came with
/// the model.
pub(super) struct Scanned {
    pub(super) model: pb::ModelProto,
    pub(super) raw: Vec<Option<Range<u64>>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("cut off: what begins at byte {0} is {1} bytes long, {2} are left")]
    CutOff(u64, u64, u64),
    #[error("an endless number at byte {0}")]
    Number(u64),
    #[error("an unknown kind of field at byte {0}")]
    Field(u64),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0:#}")]
    Protobuf(TractError),
}

pub(super) fn scan(source: &Source) -> Result<Scanned, ScanError> {
    let mut walker = Walker { source, position: 0, ahead: Vec::new(), start: 0 };
    let (mut bytes, mut raw) = (Vec::new(), Vec::new());
    let end = source.length();
    while let Some(field) = walker.field(end)? {
        if !field.is_message(GRAPH) {
            walker.copy(field.all(), &mut bytes)?;
            continue;
        }
        let mut graph = Vec::new();
        while let Some(field) = walker.field(field.content.end)? {
            if !field.is_message(INITIALIZER) {
                walker.copy(field.all(), &mut graph)?;
                continue;
            }
            let (mut tensor, mut place) = (Vec::new(), None);
            while let Some(field) = walker.field(field.content.end)? {
                if field.is_message(RAW_DATA) {
                    walker.position = field.content.end;
                    place = Some(field.content);
                } else {
                    walker.copy(field.all(), &mut tensor)?;
                }
            }
            raw.push(place);
            message(INITIALIZER, &tensor, &mut graph);
        }
        message(GRAPH, &graph, &mut bytes);
    }
    let model = TRACT.proto_model_for_read(&mut bytes.as_slice());
    Ok(Scanned { model: model.map_err(ScanError::Protobuf)?, raw })
}

/// Appends a field that is a message.
fn message(number: u64, content: &[u8], to: &mut Vec<u8>) {
    for mut value in [number << 3 | u64::from(LENGTH_DELIMITED), content.len() as u64] {
        while value >= 0x80 {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
    to.extend_from_slice(content);
}

const LENGTH_DELIMITED: u8 = 2;

/// Where a field is in the file.
struct Field {
    number: u64,
    wire: u8,
    start: u64,
    content: Range<u64>,
}

impl Field {
    /// A message, or a string of bytes.
    fn is_message(&self, number: u64) -> bool {
        self.number == number && self.wire == LENGTH_DELIMITED
    }

    fn all(&self) -> Range<u64> {
        self.start..self.content.end
    }
}

struct Walker<'a> {
    source: &'a Source,
    position: u64,
    /// What was read ahead, and where it begins.
    ahead: Vec<u8>,
    start: u64,
}

impl Walker<'_> {
    /// The field at the position, of a message that ends at `end`; the position is then at its
    /// content. `None` at the end.
    fn field(&mut self, end: u64) -> Result<Option<Field>, ScanError> {
        if self.position >= end {
            return Ok(None);
        }
        let start = self.position;
        let key = self.varint(end)?;
        let (number, wire) = (key >> 3, (key & 7) as u8);
        let content = self.position;
        let length = match wire {
            0 => {
                self.varint(end)?;
                self.position - content
            }
            1 => 8,
            LENGTH_DELIMITED => self.varint(end)?,
            5 => 4,
            _ => return Err(ScanError::Field(start)),
        };
        if number == 0 {
            return Err(ScanError::Field(start));
        }
        let content = if wire == 0 { content } else { self.position };
        let left = end - content;
        if length > left {
            return Err(ScanError::CutOff(content, length, left));
        }
        self.position = content;
        Ok(Some(Field { number, wire, start, content: content..content + length }))
    }

    fn varint(&mut self, end: u64) -> Result<u64, ScanError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(ScanError::CutOff(self.position, 1, 0));
            }
            let byte = self.byte()?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ScanError::Number(self.position))
    }

    /// The byte at the position, which is in the file.
    fn byte(&mut self) -> Result<u8, ScanError> {
        let at = |walker: &Self| {
            let index = walker.position.checked_sub(walker.start)?;
            walker.ahead.get(usize::try_from(index).ok()?).copied()
        };
        if let Some(byte) = at(self) {
            return Ok(byte);
        }
        let left = self.source.length() - self.position;
        self.ahead.resize(left.min(AHEAD as u64) as usize, 0);
        self.start = self.position;
        self.source.read(self.start, &mut self.ahead)?;
        at(self).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Appends `range` and goes on behind it.
    fn copy(&mut self, range: Range<u64>, to: &mut Vec<u8>) -> Result<(), ScanError> {
        self.position = range.end;
        let from = to.len();
        to.resize(from + (range.end - range.start) as usize, 0);
        let to = &mut to[from..];
        let ahead = range
            .start
            .checked_sub(self.start)
            .and_then(|first| self.ahead.get(usize::try_from(first).ok()?..)?.get(..to.len()));
        match ahead {
            Some(bytes) => to.copy_from_slice(bytes),
            None => self.source.read(range.start, to)?,
        }
        Ok(())
    }
}
