//! The reader of messages in files or in memory.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Reads a protobuf message from `input`, which should be buffered: keys and lengths are read byte
/// by byte.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    position: u64,
    length: u64,
}

/// A range of the input: a message, a string, or packed numbers. Nothing of it has been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    start: u64,
    end: u64,
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Field number, never 0.
    pub number: u64,
    /// Place of the whole field in the input, with its key and its length.
    pub range: Range<u64>,
    pub value: Value,
}

/// The value of a field, by wire type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Varint(u64),
    /// Bytes, a string, a message, or packed numbers.
    Bytes(Span),
    /// Four or eight bytes, which no user of this crate needs: they are skipped.
    Fixed,
}

/// Why a message cannot be read. Positions are bytes from the start of the input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("truncated at byte {at}: {needed} bytes are needed, {left} are left")]
    Truncated { at: u64, needed: u64, left: u64 },
    #[error("a varint of more than 10 bytes at byte {at}")]
    LongVarint { at: u64 },
    #[error("unknown wire type {wire_type} at byte {at}")]
    WireType { wire_type: u8, at: u64 },
    #[error("field number 0 at byte {at}")]
    FieldZero { at: u64 },
    #[error("a field of {length} bytes at byte {at}, where at most {limit} are accepted")]
    TooLong { at: u64, length: u64, limit: u64 },
    #[error("a string at byte {at} is not UTF-8")]
    Utf8 { at: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Reader<BufReader<File>> {
    /// Opens a file whose whole content is one message.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(BufReader::new(File::open(path)?))
    }
}

impl<'a> Reader<Cursor<&'a [u8]>> {
    /// Reads a message that is in memory.
    pub fn from_slice(message: &'a [u8]) -> Self {
        Self { input: Cursor::new(message), position: 0, length: message.len() as u64 }
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads a message that makes up the whole of `input`.
    ///
    /// # Errors
    /// Any error of finding the input's length.
    pub fn new(mut input: R) -> io::Result<Self> {
        let length = input.seek(SeekFrom::End(0))?;
        input.rewind()?;
        Ok(Self { input, position: 0, length })
    }

    /// Returns the span of the outermost message: the whole input.
    pub fn input(&self) -> Span {
        Span { start: 0, end: self.length }
    }

    /// Reads the next field of `message` and advances the span past the whole field, content
    /// included. Returns `None` at the end of the message.
    ///
    /// # Errors
    /// A malformed key or length, a field that exceeds the message, or [`Error::Io`].
    pub fn next_field(&mut self, message: &mut Span) -> Result<Option<Field>, Error> {
        if message.is_empty() {
            return Ok(None);
        }
        let start = message.start;
        let key = self.read_varint(message)?;
        let value = match (key & 7) as u8 {
            0 => Value::Varint(self.read_varint(message)?),
            1 => message.split_off(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.read_varint(message)?;
                Value::Bytes(message.split_off(length)?)
            }
            5 => message.split_off(4).map(|_| Value::Fixed)?,
            wire_type => return Err(Error::WireType { wire_type, at: start }),
        };
        match key >> 3 {
            0 => Err(Error::FieldZero { at: start }),
            number => Ok(Some(Field { number, range: start..message.start, value })),
        }
    }

    /// Reads the next varint of a packed field and advances the span past it. Returns `None` at the
    /// end of the field.
    ///
    /// # Errors
    /// A malformed varint, or [`Error::Io`].
    pub fn next_varint(&mut self, packed: &mut Span) -> Result<Option<u64>, Error> {
        if packed.is_empty() { Ok(None) } else { self.read_varint(packed).map(Some) }
    }

    /// Reads the bytes of a field.
    ///
    /// # Errors
    /// [`Error::TooLong`] if there are more than `limit`, or [`Error::Io`].
    pub fn bytes(&mut self, field: &Span, limit: u64) -> Result<Vec<u8>, Error> {
        let length = field.len();
        if length > limit {
            return Err(Error::TooLong { at: field.start, length, limit });
        }
        let mut bytes = Vec::new();
        self.append(field.start..field.end, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads the text of a field.
    ///
    /// # Errors
    /// [`Error::TooLong`] if it has more than `limit` bytes, [`Error::Utf8`], or [`Error::Io`].
    pub fn string(&mut self, field: &Span, limit: u64) -> Result<String, Error> {
        let bytes = self.bytes(field, limit)?;
        String::from_utf8(bytes).map_err(|_| Error::Utf8 { at: field.start })
    }

    /// Appends the bytes of the input in `range`, such as a whole [`Field`], to `to`.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the range reaches beyond the input, or [`Error::Io`]. `to` keeps its
    /// length.
    pub fn append(&mut self, range: Range<u64>, to: &mut Vec<u8>) -> Result<(), Error> {
        let needed = range.end.saturating_sub(range.start);
        let left = self.length.saturating_sub(range.start);
        let truncated = Error::Truncated { at: range.start, needed, left };
        if needed > left {
            return Err(truncated);
        }
        let kept = to.len();
        let Some(length) = usize::try_from(needed).ok().and_then(|n| kept.checked_add(n)) else {
            return Err(truncated);
        };
        self.seek(range.start)?;
        to.resize(length, 0);
        if let Err(error) = self.input.read_exact(&mut to[kept..]) {
            to.truncate(kept);
            return Err(error.into());
        }
        self.position = range.start + needed;
        Ok(())
    }

    /// Reads a varint at the start of `span`. Bits beyond the 64th are dropped, as in Google's own
    /// decoders.
    fn read_varint(&mut self, span: &mut Span) -> Result<u64, Error> {
        let at = span.start;
        self.seek(at)?;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            span.split_off(1)?;
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::LongVarint { at })
    }

    fn seek(&mut self, target: u64) -> io::Result<()> {
        match target.checked_signed_diff(self.position) {
            Some(0) => return Ok(()),
            // Unlike `seek`, keeps what a `BufReader` has in its buffer.
            Some(distance) => self.input.seek_relative(distance)?,
            None => self.input.seek(SeekFrom::Start(target)).map(drop)?,
        }
        self.position = target;
        Ok(())
    }
}

impl Span {
    /// Returns the number of bytes left.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Returns whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the place of the bytes in the input.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Removes the first `needed` bytes.
    fn split_off(&mut self, needed: u64) -> Result<Self, Error> {
        let left = self.len();
        if needed > left {
            return Err(Error::Truncated { at: self.start, needed, left });
        }
        let start = self.start;
        self.start += needed;
        Ok(Self { start, end: self.start })
    }
}
