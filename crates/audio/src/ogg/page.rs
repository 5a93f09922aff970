//! Pages of an Ogg file (RFC 3533, 6).

use std::io::{self, ErrorKind};

use symphonia::core::checksum::Crc32;
use symphonia::core::io::{MediaSourceStream, Monitor as _, ReadBytes as _, SeekBuffered as _};

pub(super) const MARKER: [u8; 4] = *b"OggS";
const HEADER: usize = 27;

/// A page.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Page {
    pub(super) is_continued: bool,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    /// The codec's position at the end of the last packet that ends here; `None` if it is unknown.
    pub(super) granule: Option<i64>,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    /// Lengths of the packets that end here.
    lens: Vec<usize>,
    body: Vec<u8>,
}

impl Page {
    /// Returns the packets that end here, and the beginning of one that does not.
    pub(super) fn packets(&self) -> (impl Iterator<Item = &[u8]>, &[u8]) {
        let (complete, partial) = self.body.split_at(self.lens.iter().sum::<usize>());
        let mut rest = complete;
        let packets = self.lens.iter().map(move |&len| {
            let (packet, after) = rest.split_at(len);
            rest = after;
            packet
        });
        (packets, partial)
    }

    /// Parses a page without its body from its header and table of segments.
    fn parse(header: &[u8; HEADER], segments: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| header[at + n]));
        let granule = i64::from(word(6)) | i64::from(word(10).cast_signed()) << 32;
        let mut lens = Vec::new();
        let mut len = 0;
        for &segment in segments {
            len += usize::from(segment);
            if segment < 255 {
                lens.push(std::mem::take(&mut len));
            }
        }
        Page {
            is_continued: header[5] & 1 != 0,
            is_first: header[5] & 2 != 0,
            is_last: header[5] & 4 != 0,
            granule: Some(granule).filter(|&granule| granule >= 0),
            serial: word(14),
            sequence: word(18),
            lens,
            body: Vec::new(),
        }
    }
}

/// Reads the next page. Skips what is not a page, and damaged ones. Returns `None` at the end of the
/// file, and an error if that is within a page.
pub(super) fn next(stream: &mut MediaSourceStream<'_>) -> io::Result<Option<Page>> {
    loop {
        match find(stream) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let after_marker = stream.pos();
        if let Some(page) = read(stream)? {
            return Ok(Some(page));
        }
        stream.seek_buffered(after_marker);
    }
}

/// Moves behind the next marker.
fn find(stream: &mut MediaSourceStream<'_>) -> io::Result<()> {
    let mut last = [0; 4];
    while last != MARKER {
        last.rotate_left(1);
        last[3] = stream.read_byte()?;
    }
    Ok(())
}

/// Reads the page whose marker was read. Returns `None` if it is damaged.
fn read(stream: &mut MediaSourceStream<'_>) -> io::Result<Option<Page>> {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MARKER);
    stream.read_buf_exact(&mut header[4..])?;
    if header[4] != 0 {
        return Ok(None);
    }
    let segments = stream.read_boxed_slice_exact(usize::from(header[26]))?;
    let len = segments.iter().map(|&len| usize::from(len)).sum();
    let body = stream.read_boxed_slice_exact(len)?.into_vec();
    let expected = u32::from_le_bytes([header[22], header[23], header[24], header[25]]);
    header[22..26].fill(0);
    let mut crc = Crc32::new(0);
    [&header[..], &segments, &body].iter().for_each(|part| crc.process_buf_bytes(part));
    if crc.crc() != expected {
        return Ok(None);
    }
    Ok(Some(Page { body, ..Page::parse(&header, &segments) }))
}
