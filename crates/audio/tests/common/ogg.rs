//! Takes Ogg files apart and changes their pages.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

/// Returns the pages of a file.
pub fn pages(file: &[u8]) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    let mut rest = file;
    while rest.starts_with(b"OggS") {
        let segments = usize::from(rest[26]);
        let body: usize = rest[27..27 + segments].iter().map(|&len| usize::from(len)).sum();
        let (page, after) = rest.split_at(27 + segments + body);
        pages.push(page.to_vec());
        rest = after;
    }
    pages
}

pub fn granule(page: &[u8]) -> i64 {
    i64::from_le_bytes(page[6..14].try_into().unwrap())
}

/// Sets the granule of a page and its checksum.
pub fn set_granule(page: &mut [u8], granule: i64) {
    page[6..14].copy_from_slice(&granule.to_le_bytes());
    page[22..26].fill(0);
    let crc = page.iter().fold(0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
}
