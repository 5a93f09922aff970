//! Where a container says that it ends.
//!
//! symphonia's demuxers of MP4 and Matroska drop an element that reaches beyond the end of the file,
//! and with it all that is there of a recording which was cut off: in Matroska everything, in MP4
//! all audio. So the end that is promised is given out as the end; reading meets the real one.

use symphonia::core::io::MediaSource as _;

use crate::mp4::Mp4;
use crate::source::Source;

/// Makes the length of `source` the one that its container promises, if that is longer.
pub(crate) fn keep_promises(source: &mut Source, mp4: &Mp4) {
    /// Promises are believed up to some terabytes.
    const MAX_LEN: u64 = 1 << 44;
    let promised = segment_end(source.head()).or(mp4.end_of_data);
    if let (Some(len), Some(promised)) = (source.byte_len(), promised)
        && (len..MAX_LEN).contains(&promised)
    {
        source.promise_len(promised);
    }
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
