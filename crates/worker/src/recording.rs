//! Recordings in stores, as the decoder reads them.

use std::io::{self, Read, Seek, SeekFrom};

use store::Reader;

/// An object in a store, as a source of the decoder.
pub struct SeekableObject(pub Reader);

impl Read for SeekableObject {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for SeekableObject {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl audio::MediaSource for SeekableObject {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.0.meta().size)
    }
}
