//! Recordings that were put one after the other in one file, each with a header of its own: FLAC
//! files joined with `cat`, the pieces that a browser recorded, AAC that goes on with other properties.
//!
//! symphonia reads on and takes the second header for a damaged part of the first recording. So a
//! demuxer is shown the end of the file where the next header begins, and then another demuxer is
//! opened there.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphonia::core::io::MediaSource;

use crate::adts::{Frames, LOOKAHEAD};
use crate::source::Source;

/// Bytes after the first of a header in which it is recognized.
const HEADER_BYTES: usize = 64;

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// The source of a recording, of which one part after the other is read.
#[derive(Clone)]
pub(crate) struct Parts {
    source: Arc<Mutex<Source>>,
    next: Arc<Mutex<Option<u64>>>,
}

impl Parts {
    pub(crate) fn new(source: Source) -> Self {
        Parts { source: Arc::new(Mutex::new(source)), next: Arc::default() }
    }

    pub(crate) fn source(&self) -> MutexGuard<'_, Source> {
        // A panic of a demuxer within a read leaves the source as it was before.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> MutexGuard<'_, Option<u64>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the part that begins where the source is, for a demuxer.
    pub(crate) fn part(&self) -> io::Result<Part> {
        let mut source = self.source();
        let at = source.stream_position()?;
        let head = source.head_at(at);
        let (kind, frames) = (Kind::of(&head), Frames::open(at, &head));
        // A segment that declares its length may contain another file, as an attachment.
        let watch_from = match kind {
            Some(Kind::Matroska) => source.declared_end_of_part().unwrap_or(at + 1),
            _ => at + 1,
        };
        drop(source);
        let buffer = Vec::new();
        Ok(Part { parts: self.clone(), start: at, at, kind, frames, watch_from, buffer, used: 0 })
    }

    /// Moves the source to the next part, if the last one ended at one. Returns where it begins.
    pub(crate) fn advance(&self) -> io::Result<Option<u64>> {
        let Some(next) = self.next().take() else { return Ok(None) };
        self.source().begin_at(next)?;
        Ok(Some(next))
    }

    /// Returns whether the last part ended where another begins.
    pub(crate) fn has_next(&self) -> bool {
        self.next().is_some()
    }
}

/// A format whose files are known to be put one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flac,
    Matroska,
}

impl Kind {
    /// Returns the format whose header `bytes` begin with. The headers are so long that no audio
    /// contains one by chance.
    fn of(bytes: &[u8]) -> Option<Self> {
        const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
        const DOC_TYPE: &[u8] = &[0x42, 0x82];
        let has = |wanted: &[u8], bytes: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
        let bytes = bytes.get(..HEADER_BYTES.min(bytes.len())).unwrap_or_default();
        // The marker, and a block of stream information of 34 bytes (RFC 9639, 8).
        let is_flac = matches!(bytes, [b'f', b'L', b'a', b'C', 0 | 0x80, 0, 0, 34, ..]);
        let is_matroska = bytes.starts_with(EBML)
            && has(DOC_TYPE, bytes)
            && (has(b"webm", bytes) || has(b"matroska", bytes));
        if is_flac {
            Some(Kind::Flac)
        } else if is_matroska {
            Some(Kind::Matroska)
        } else {
            None
        }
    }
}

/// One part of the source. Only those of a [`Kind`] and AAC frames end before the file does.
pub(crate) struct Part {
    parts: Parts,
    start: u64,
    /// Position of the next byte that is read from the source.
    at: u64,
    kind: Option<Kind>,
    /// The frames of AAC without a container.
    frames: Option<Frames>,
    watch_from: u64,
    /// Bytes read ahead, to see whether a header begins, and how many of them were handed out.
    buffer: Vec<u8>,
    used: usize,
}

impl Part {
    /// Fills the buffer until a header could be recognized in it, or the source ends. Returns how
    /// many bytes may be handed out.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut ended = self.parts.has_next();
        let needed = if self.frames.is_some() { LOOKAHEAD } else { HEADER_BYTES };
        while self.buffer.len() < needed && !ended {
            let filled = self.buffer.len();
            self.buffer.resize(filled + CHUNK, 0);
            let mut source = self.parts.source();
            source.seek(SeekFrom::Start(self.at))?;
            let n = source.read(&mut self.buffer[filled..]);
            drop(source);
            let n = n.inspect_err(|_| self.buffer.truncate(filled))?;
            self.buffer.truncate(filled + n);
            self.at += n as u64;
            ended = n == 0;
        }
        let start = self.at - self.buffer.len() as u64;
        if let Some(frames) = &mut self.frames {
            let (known, is_end) = frames.follow(start, &self.buffer, ended);
            if is_end {
                self.end_at(start, known);
            }
            return Ok(known);
        }
        let known = if ended { self.buffer.len() } else { self.buffer.len() - HEADER_BYTES + 1 };
        let skip = usize::try_from(self.watch_from.saturating_sub(start)).unwrap_or(known);
        for at in skip.min(known)..known {
            // Another format than this part's is an attachment, a picture, or chance.
            if Kind::of(&self.buffer[at..]) == self.kind {
                self.end_at(start, at);
                return Ok(at);
            }
        }
        Ok(known)
    }

    /// Ends the part after `len` bytes of the buffer, which begins at `start`.
    fn end_at(&mut self, start: u64, len: usize) {
        let end = start + len as u64;
        *self.parts.next() = Some(end);
        // What was read beyond it is handed back: not every source can go back.
        self.parts.source().replay(end, self.buffer.split_off(len));
    }

    /// Returns whether the part may end before the file does.
    fn is_watched(&self) -> bool {
        self.kind.is_some() || self.frames.is_some()
    }
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.is_watched() {
            return self.parts.source().read(buf);
        }
        let ready = self.fill()?.min(buf.len());
        buf[..ready].copy_from_slice(&self.buffer[..ready]);
        self.used = ready;
        Ok(ready)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.is_watched() {
            return Err(ErrorKind::Unsupported.into());
        }
        self.parts.source().seek(to)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        !self.is_watched() && self.parts.source().is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        let len = self.parts.source().byte_len()?;
        // A demuxer that cannot seek counts from its beginning.
        Some(if self.is_watched() { len.saturating_sub(self.start) } else { len })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLAC: &[u8] = b"fLaC\x80\x00\x00\x22";

    fn flac(len: usize) -> Vec<u8> {
        [FLAC, &vec![7; len]].concat()
    }

    fn read_all(bytes: Vec<u8>, step: usize) -> Vec<Vec<u8>> {
        let source = Source::open(Box::new(io::Cursor::new(bytes)), u64::MAX);
        let Ok(source) = source else { return Vec::new() };
        let parts = Parts::new(source);
        let mut all = Vec::new();
        loop {
            let (mut bytes, mut buf) = (Vec::new(), vec![0; step]);
            if let Ok(mut part) = parts.part() {
                while let Ok(n @ 1..) = part.read(&mut buf) {
                    bytes.extend_from_slice(&buf[..n]);
                }
            }
            all.push(bytes);
            if !matches!(parts.advance(), Ok(Some(_))) {
                return all;
            }
        }
    }

    proptest! {
        #[test]
        fn parts_are_split_where_a_header_begins(
            lens in prop::collection::vec(0..100_000_usize, 1..5), step in 1..70_000_usize,
        ) {
            let parts: Vec<_> = lens.into_iter().map(flac).collect();
            prop_assert_eq!(read_all(parts.concat(), step.max(16)), parts);
        }
    }

    #[test]
    fn other_formats_and_short_headers_split_nothing() {
        let wave = [b"RIFF\0\0\0\0WAVE".as_slice(), &vec![1; 40_000], FLAC, &[1; 500]].concat();
        assert_eq!(read_all(wave.clone(), 1000), [wave]);
        let webm = b"\x1a\x45\xdf\xa3\x88\x42\x82\x84webm".to_vec();
        let both = [webm.clone(), vec![3; 300], webm.clone(), vec![4; 10]].concat();
        let parts = read_all(both, 1000);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [312, 22]);
        let inside = [FLAC, &[7; 100], &webm, &[7; 100]].concat();
        assert_eq!(read_all(inside.clone(), 1000), [inside]);
    }
}
