//! The bytes of a manifest, without a byte order mark, and the number of the line.

use std::io::{self, BufRead, Chain, Cursor, Read};

use super::{MAX_ROW_BYTES, ManifestError};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

#[derive(Debug)]
pub(super) struct Input<R> {
    /// The first line, which was looked at, and the rest.
    bytes: Chain<Cursor<Vec<u8>>, R>,
    /// Number of the next line, counted from 1.
    pub(super) line: u64,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(mut input: R) -> Result<Self, ManifestError> {
        let mut first = Vec::new();
        (&mut input).take(MAX_ROW_BYTES as u64).read_until(b'\n', &mut first)?;
        if UTF16_MARKS.iter().any(|mark| first.starts_with(mark)) {
            let message = "the manifest is UTF-16: save it as UTF-8";
            return Err(ManifestError::Unusable(message.to_owned()));
        }
        if first.starts_with(UTF8_MARK) {
            first.drain(..UTF8_MARK.len());
        }
        Ok(Self { bytes: Cursor::new(first).chain(input), line: 1 })
    }

    /// Returns the first line, before anything was read.
    pub(super) fn first_line(&self) -> &[u8] {
        self.bytes.get_ref().0.get_ref()
    }

    /// Returns the next bytes; none at the end.
    pub(super) fn peek(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.bytes.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        self.bytes.fill_buf()
    }

    /// Takes bytes that [`Input::peek`] returned.
    pub(super) fn take(&mut self, count: usize) -> io::Result<()> {
        let bytes = self.peek()?;
        let lines = bytes.iter().take(count).filter(|byte| **byte == b'\n').count();
        self.line += lines as u64;
        self.bytes.consume(count);
        Ok(())
    }

    /// Appends the rest of the line, with its end, to `line`, up to the limit for a row, and skips what
    /// is more. Returns whether nothing was skipped.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        let mut complete = true;
        loop {
            let bytes = self.peek()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(bytes.len(), |end| end + 1);
            let kept = count.min(MAX_ROW_BYTES.saturating_sub(line.len()));
            line.extend_from_slice(&bytes[..kept]);
            complete &= kept == count;
            self.take(count)?;
            if end.is_some() || count == 0 {
                return Ok(complete);
            }
        }
    }
}
