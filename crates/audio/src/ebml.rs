//! Reads EBML (RFC 8794), in which Matroska and WebM are written.

/// Returns the end of the segment of a Matroska file (RFC 9559, 4.5), if its header declares it.
pub(crate) fn segment_end(head: &[u8]) -> Option<u64> {
    const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
    const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
    let mut rest = head.strip_prefix(EBML)?;
    let len = take_vint(&mut rest)?;
    rest = rest.get(usize::try_from(len).ok()?..)?.strip_prefix(SEGMENT)?;
    let len = take_vint(&mut rest)?;
    len.checked_add((head.len() - rest.len()) as u64)
}

/// Removes a variable-length integer (RFC 8794, 4) from the start of `bytes`. Returns `None` for
/// invalid integers and for the value that means "unknown".
pub(crate) fn take_vint(bytes: &mut &[u8]) -> Option<u64> {
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
    fn reads_the_end_of_a_segment() {
        let head = |size: &[u8]| {
            [b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67".as_slice(), size, b"more"].concat()
        };
        assert_eq!(segment_end(&head(b"\x40\x64")), Some(13 + 100));
        assert_eq!(segment_end(&head(b"\x01\0\0\0\0\0\x01\0")), Some(19 + 256));
        assert_eq!(segment_end(&head(b"\x01\xff\xff\xff\xff\xff\xff\xff")), None, "unknown");
        assert_eq!(segment_end(&head(b"\xff")), None, "unknown");
        assert_eq!(segment_end(&head(b"\0\0\0\0\0\0\0\0\0\0")), None, "invalid");
        assert_eq!(segment_end(b"\x1a\x45\xdf\xa3\x90"), None);
        assert_eq!(segment_end(b"RIFF"), None);
    }
}
