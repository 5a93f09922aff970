//! Where a container says that it ends.
//!
//! symphonia's demuxers of MP4 and Matroska drop an element that reaches beyond the end of the file,
//! and with it all that is there of a recording which was cut off: in Matroska everything, in MP4
//! all audio. So the end that is promised is given out as the end; reading meets the real one.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use symphonia::core::io::MediaSource as _;

use crate::source::Source;

/// Promises are believed up to some terabytes.
const MAX_LEN: u64 = 1 << 44;

/// Makes the length of `source` the one that its container promises, if that is longer.
pub(crate) fn keep_promises(source: &mut Source) -> io::Result<()> {
    let Some(len) = source.byte_len() else { return Ok(()) };
    let promised = match segment_end(source.head()) {
        Some(end) => Some(end),
        // Only of MP4 and its like; and where it may not be sought, the index is at the end.
        None if source.is_seekable() => media_data_end(source)?,
        None => None,
    };
    if let Some(end) = promised.filter(|&end| end > len && end < MAX_LEN) {
        source.promise_len(end);
    }
    Ok(())
}

/// The end of the `mdat` of an MP4 file whose index comes first (ISO 14496-12, 4.2).
fn media_data_end(source: &mut Source) -> io::Result<Option<u64>> {
    /// Atoms before the audio; each may cost a request to a remote store.
    const MAX_ATOMS: usize = 16;
    let (start, mut pos) = (source.stream_position()?, 0_u64);
    let (mut end_of_data, mut has_index) = (None, false);
    for _ in 0..MAX_ATOMS {
        source.seek(SeekFrom::Start(pos))?;
        let mut header = Vec::with_capacity(16);
        source.by_ref().take(16).read_to_end(&mut header)?;
        let [s0, s1, s2, s3, kind @ .., _, _, _, _, _, _, _, _] = &header[..] else { break };
        let size = match u64::from(u32::from_be_bytes([*s0, *s1, *s2, *s3])) {
            1 => header[8..].iter().fold(0, |size, &b| size << 8 | u64::from(b)),
            size => size,
        };
        let Some(end) = pos.checked_add(size).filter(|&end| size >= 8 && end < MAX_LEN) else {
            break;
        };
        if kind == b"mdat" {
            end_of_data = has_index.then_some(end);
            break;
        }
        has_index |= kind == b"moov";
        pos = end;
    }
    source.seek(SeekFrom::Start(start))?;
    Ok(end_of_data)
}

/// The end of the segment of a Matroska file (RFC 9559, 4.5), if it tells.
fn segment_end(head: &[u8]) -> Option<u64> {
    const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
    const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
    let mut rest = head.strip_prefix(EBML)?;
    let len = take_vint(&mut rest)?;
    rest = rest.get(usize::try_from(len).ok()?..)?.strip_prefix(SEGMENT)?;
    let len = take_vint(&mut rest)?;
    len.checked_add((head.len() - rest.len()) as u64)
}

/// A variable-length integer (RFC 8794, 4); `None` too for the one that stands for "unknown".
fn take_vint(bytes: &mut &[u8]) -> Option<u64> {
    const MAX_LEN: usize = 8;
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let (vint, rest) = bytes.split_at_checked(len).filter(|_| len <= MAX_LEN)?;
    let mask = (1_u64 << (7 * len)) - 1;
    *bytes = rest;
    let value = vint.iter().fold(0, |value, &b| value << 8 | u64::from(b)) & mask;
    (value != mask).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_segment() {
        let head = |size: &[u8]| {
            [b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67".as_slice(), size, b"more"].concat()
        };
        assert_eq!(segment_end(&head(b"\x40\x64")), Some(13 + 100));
        assert_eq!(segment_end(&head(b"\x01\0\0\0\0\0\x01\0")), Some(19 + 256));
        assert_eq!(segment_end(&head(b"\x01\xff\xff\xff\xff\xff\xff\xff")), None, "unknown");
        assert_eq!(segment_end(&head(b"\xff")), None, "unknown");
        assert_eq!(segment_end(&head(b"\0\0\0\0\0\0\0\0\0\0")), None, "no such integer");
        assert_eq!(segment_end(b"\x1a\x45\xdf\xa3\x90"), None);
        assert_eq!(segment_end(b"RIFF"), None);
    }
}
