//! Finds the audio of a WAV file whose header does not say where all of it is: behind a length that
//! was not updated or that counts modulo 4 GiB, in a second `data` chunk, in a file that was appended.

use std::io::ErrorKind;

use symphonia::core::errors::Result;
use symphonia::core::io::{MediaSource as _, MediaSourceStream, ReadBytes as _, SeekBuffered as _};

/// What follows the audio.
#[derive(Debug, PartialEq)]
pub(crate) enum More {
    /// Another `data` chunk that declares this length.
    Chunk(u64),
    /// Audio of this length in bytes, which no chunk declares.
    Undeclared(u64),
    /// Something else of this length.
    Other(u64),
    Nothing,
}

/// The `data` chunks of a file, as far as they are known. Positions are those of the stream.
pub(crate) struct DataChunks {
    /// End of the file that its header declares.
    riff_end: Option<u64>,
    /// Whether the current chunk has an odd length, so that a byte of padding follows.
    is_odd: bool,
    is_riff: bool,
}

impl DataChunks {
    /// Begins with a header at `start` that declares `len` bytes.
    pub(crate) fn new(form: [u8; 4], start: u64, len: u32) -> Self {
        let is_riff = form == *b"RIFF";
        let riff_end = riff_end(start, len).filter(|_| is_riff);
        DataChunks { riff_end, is_odd: false, is_riff }
    }

    /// Takes note that a chunk of `len` bytes begins.
    pub(crate) fn begin(&mut self, len: Option<u64>) {
        self.is_odd = len.is_some_and(|len| len % 2 == 1);
    }

    /// Returns the length of a chunk that declares `len` and begins at the stream's position. 32 bits
    /// count modulo 4 GiB in files of writers that do not care.
    pub(crate) fn beyond_4_gib(&mut self, len: u64, stream: &MediaSourceStream<'_>) -> u64 {
        const MODULUS: u64 = 1 << 32;
        let Some(left) = left(stream).filter(|_| self.is_riff && len < MODULUS) else { return len };
        let more = left.saturating_sub(len) / MODULUS * MODULUS;
        if more > 0 {
            self.riff_end = None;
        }
        len + more
    }

    /// Returns what follows at the stream's position, where a `data` chunk ends, and moves to it.
    /// `is_same` tells whether a `fmt ` chunk describes the same kind of samples.
    pub(crate) fn find_more(
        &mut self,
        stream: &mut MediaSourceStream<'_>,
        is_same: impl Fn(&[u8]) -> bool,
    ) -> Result<More> {
        let mut is_first = true;
        loop {
            let (at, left) = (stream.pos(), left(stream).unwrap_or(u64::MAX));
            let header = peek(stream)?;
            let Some((skip, id, len)) = self.chunk(&header, left) else {
                let is_audio = is_first && header.iter().any(|&b| b != 0);
                return Ok(self.undeclared(at, left, is_audio));
            };
            stream.ignore_bytes(skip + 8)?;
            (is_first, self.is_odd) = (false, len % 2 == 1);
            match &id {
                b"data" => return Ok(More::Chunk(len)),
                b"RIFF" => {
                    let form = stream.read_quad_bytes()?;
                    if form != *b"WAVE" {
                        return Ok(More::Other(left));
                    }
                    self.riff_end = riff_end(at + skip, len as u32);
                    self.is_odd = false;
                }
                b"fmt " => {
                    const MAX_FMT: u64 = 64 * 1024;
                    let chunk = stream.read_boxed_slice(len.min(MAX_FMT) as usize)?;
                    if !is_same(&chunk) {
                        return Ok(More::Other(left));
                    }
                    stream.ignore_bytes(len.saturating_sub(MAX_FMT))?;
                }
                _ => match stream.ignore_bytes(len) {
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(More::Nothing),
                    other => other?,
                },
            }
        }
    }

    /// Returns the padding before a chunk, its name and its length, if `header` begins with one that
    /// fits into the `left` bytes of the file.
    fn chunk(&self, header: &[u8], left: u64) -> Option<(u64, [u8; 4], u64)> {
        let parse = |skip: usize| {
            let [a, b, c, d, l0, l1, l2, l3, ..] = header.get(skip..)? else { return None };
            let (id, len) = ([*a, *b, *c, *d], u32::from_le_bytes([*l0, *l1, *l2, *l3]));
            let is_name = id.iter().all(|b| (b' '..=b'~').contains(b));
            let known = matches!(&id, b"data" | b"LIST" | b"RIFF" | b"fmt ");
            let fits = u64::from(len) <= left.saturating_sub(8 + skip as u64) || known;
            (is_name && fits).then_some((skip as u64, id, u64::from(len)))
        };
        let padded = if self.is_odd { parse(1) } else { None };
        padded.or_else(|| parse(0))
    }

    /// Returns what bytes are that no chunk declares. Those within the declared end of the file are
    /// audio: the writer updated one length of two.
    fn undeclared(&mut self, at: u64, left: u64, is_audio: bool) -> More {
        let declared = self.riff_end.take().and_then(|end| end.checked_sub(at));
        match declared.map(|len| len.min(left)) {
            Some(len @ 2..) => More::Undeclared(len),
            _ if left > 0 && left != u64::MAX && is_audio => More::Other(left),
            _ => More::Nothing,
        }
    }
}

/// Returns the end of a file that begins at `start`, unless its length is one of those that stand for
/// an unknown one.
fn riff_end(start: u64, len: u32) -> Option<u64> {
    (len > 8 && len < 0x7fff_f000 || (0x8000_0001..0xffff_0000).contains(&len))
        .then(|| start + 8 + u64::from(len))
}

/// Returns the bytes from the stream's position to the end of the file, if its length is known.
fn left(stream: &MediaSourceStream<'_>) -> Option<u64> {
    stream.byte_len().map(|len| len.saturating_sub(stream.pos()))
}

/// Returns the next bytes, for a header with a byte of padding before it, and stays before them.
fn peek(stream: &mut MediaSourceStream<'_>) -> Result<Vec<u8>> {
    let at = stream.pos();
    let header = match stream.read_boxed_slice(9) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Vec::new(),
        other => other?.into_vec(),
    };
    stream.seek_buffered(at);
    Ok(header)
}
