//! Walks the fields of a protobuf file without reading what nobody asks for.
//!
//! Model files are gigabytes of weights with a few kilobytes of structure between them: the walker
//! seeks over the former. Lengths are checked against the enclosing message before anything is
//! read, and strings have a limit, so that a hostile file costs no more than its own walk.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What follows a field's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Varint(u64),
    /// Bytes, a string or a message; it lies between here and `end`.
    Bytes {
        end: u64,
    },
    /// Four or eight bytes, skipped already.
    Fixed,
}

/// A position in a protobuf file.
pub(crate) struct Walker {
    input: BufReader<File>,
    position: u64,
    length: u64,
}

impl Walker {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        Ok(Self { input: BufReader::new(file), position: 0, length })
    }

    /// Where the outermost message ends.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The next field of the message that ends at `end`; `None` when there is none left. The caller
    /// must consume the payload ([`Walker::string`], a walk of its own, or [`Walker::skip`]).
    pub(crate) fn field(&mut self, end: u64) -> Result<Option<(u64, Payload)>, String> {
        if self.position >= end {
            return Ok(None);
        }
        let key = self.varint(end)?;
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint(end)?),
            1 => self.fixed(8, end)?,
            2 => Payload::Bytes { end: self.bounded(end)? },
            5 => self.fixed(4, end)?,
            other => return Err(format!("wire type {other} at byte {}", self.position)),
        };
        match key >> 3 {
            0 => Err(format!("field 0 at byte {}", self.position)),
            number => Ok(Some((number, payload))),
        }
    }

    pub(crate) fn skip(&mut self, payload: Payload) -> Result<(), String> {
        match payload {
            Payload::Bytes { end } => self.seek(end),
            Payload::Varint(_) | Payload::Fixed => Ok(()),
        }
    }

    /// The bytes up to `end` as text.
    pub(crate) fn string(&mut self, end: u64, limit: u64) -> Result<String, String> {
        let length = end - self.position;
        if length > limit {
            return Err(format!("a string of {length} bytes where at most {limit} are sensible"));
        }
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        self.position = end;
        String::from_utf8(bytes).map_err(|_| "a string that is not UTF-8".to_owned())
    }

    /// A varint inside a packed field that ends at `end`.
    pub(crate) fn varint(&mut self, end: u64) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(format!("cut off at byte {end}"));
            }
            let mut byte = [0];
            self.input.read_exact(&mut byte).map_err(|error| error.to_string())?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(format!("an endless number at byte {}", self.position))
    }

    pub(crate) fn is_before(&self, end: u64) -> bool {
        self.position < end
    }

    fn fixed(&mut self, size: u64, end: u64) -> Result<Payload, String> {
        let target = self.position + size;
        if target > end {
            return Err(format!("cut off at byte {end}"));
        }
        self.seek(target)?;
        Ok(Payload::Fixed)
    }

    /// Reads a length; where it leads to, if that is still inside `end`.
    fn bounded(&mut self, end: u64) -> Result<u64, String> {
        let length = self.varint(end)?;
        match self.position.checked_add(length) {
            Some(target) if target <= end => Ok(target),
            _ => Err(format!("cut off at byte {end}, {length} bytes after {}", self.position)),
        }
    }

    fn seek(&mut self, target: u64) -> Result<(), String> {
        let distance = target as i64 - self.position as i64;
        // Stays inside the buffer where it can, unlike `seek`.
        match i64::try_from(target) {
            Ok(_) => self.input.seek_relative(distance),
            Err(_) => self.input.seek(SeekFrom::Start(target)).map(drop),
        }
        .map_err(|error| error.to_string())?;
        self.position = target;
        Ok(())
    }
}
