//! Recordings in stores, as the decoder reads them.

use std::io::{self, Read, Seek, SeekFrom};

use audio::MediaSource;
use store::Reader;

/// An object as the decoder reads it.
pub(crate) struct Seekable(pub(crate) Reader);

impl Read for Seekable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Seekable {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl MediaSource for Seekable {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.0.meta().size)
    }
}
