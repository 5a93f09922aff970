//! Finds out whether bytes were lost in the middle of an MPEG audio stream (MP3, MP2), which has no
//! timestamps.
//!
//! Its frames follow each other without a byte between them. So bytes between the first and the last
//! frame that are part of none are what is left of frames of which bytes were lost. A file that was
//! cut off, on the other hand, ends within a frame.

use crate::source::Source;

#[derive(Debug, Default)]
pub(crate) struct FrameBytes {
    /// Position of the first frame.
    first: Option<u64>,
    /// Bytes of all frames.
    sum: u64,
    last: Vec<u8>,
}

impl FrameBytes {
    /// Takes note of a frame that was read from `source`.
    pub(crate) fn add(&mut self, frame: &[u8], source: &Source) {
        if self.sum == 0 {
            let (at, head) = source.in_memory();
            self.first = find(head, frame).map(|n| at + n as u64);
        }
        self.sum += frame.len() as u64;
        self.last.clear();
        self.last.extend_from_slice(frame);
    }

    /// Returns the number of bytes that are part of no frame, if `source` was read to its end and that
    /// is the end of a frame.
    pub(crate) fn lost(&self, source: &Source) -> Option<u64> {
        let tail = source.tail();
        let behind = &tail[rfind(tail, &self.last)? + self.last.len()..];
        const TAGS: [&[u8]; 4] = [b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3"];
        let is_tag = TAGS.iter().any(|tag| behind.starts_with(tag));
        if !is_tag && behind.iter().any(|&byte| byte != 0) {
            return None;
        }
        let end = source.position() - behind.len() as u64;
        let between = end.checked_sub(self.first?)?.checked_sub(self.sum)?;
        (between > 0).then_some(between)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn rfind(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    fn lost(bytes: &[u8], frames: &[&[u8]]) -> Option<u64> {
        let mut source = Source::open(Box::new(Cursor::new(bytes.to_vec())), u64::MAX).ok()?;
        let mut found = FrameBytes::default();
        frames.iter().for_each(|frame| found.add(frame, &source));
        source.read_to_end(&mut Vec::new()).ok()?;
        found.lost(&source)
    }

    #[test]
    fn counts_bytes_between_frames() {
        let frames: [&[u8]; 3] = [b"frame one", b"frame two", b"frame three"];
        assert_eq!(lost(b"junkframe oneframe twoframe three", &frames), None);
        assert_eq!(lost(b"junkframe oneamframe twoframe three", &frames), Some(2));
        assert_eq!(lost(b"frame one!frame twoframe threeTAGtitle", &frames), Some(1));
        assert_eq!(lost(b"frame one!frame twoframe threefram", &frames), None, "cut off");
        assert_eq!(lost(b"frame one!frame twoframe three\0\0", &frames), Some(1));
        assert_eq!(lost(b"anything", &[]), None);
    }
}
