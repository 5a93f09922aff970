//! Copies of recordings in which FFmpeg has to seek.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use crate::Error;
use crate::source::Source;

/// Where copies are made, and how large they may be.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    pub(super) directory: PathBuf,
    pub(super) max_bytes: u64,
}

impl Spool {
    /// Copies what is left of `source` to a file without a name, which vanishes when it is closed.
    pub(super) fn copy(&self, source: &mut Source) -> Result<File, Error> {
        let too_large = |actual: String| Error::LimitExceeded {
            quantity: "the size of a file that must be copied for ffmpeg to seek in it",
            actual,
            limit: format!("{} bytes", self.max_bytes),
        };
        let known = symphonia::core::io::MediaSource::byte_len(source);
        if let Some(len) = known.filter(|&len| len > self.max_bytes) {
            return Err(too_large(format!("{len} bytes")));
        }
        let mut file = tempfile::tempfile_in(&self.directory).map_err(Error::Spool)?;
        let (mut chunk, mut copied) = (vec![0; 256 * 1024], 0);
        loop {
            let n = source.read(&mut chunk).map_err(|e| read_failure(source, e))?;
            if n == 0 {
                break;
            }
            copied += n as u64;
            if copied > self.max_bytes {
                return Err(too_large("more".to_owned()));
            }
            file.write_all(&chunk[..n]).map_err(Error::Spool)?;
        }
        file.rewind().map_err(Error::Spool)?;
        Ok(file)
    }
}

/// Returns the error of a source whose read failed.
pub(super) fn read_failure(source: &Source, error: io::Error) -> Error {
    source.monitor().take_failure().map_or(Error::Read(error), Error::from)
}
