//! Recordings that cannot be read in ranges are downloaded to files without a name, which vanish when they are
//! closed, also if the process is killed.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use reqwest::Response;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{body::Incoming, error::Operation};
use crate::{Error, ErrorKind, ObjectMeta};

/// Where downloads are kept, and how large they may be.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    pub(super) directory: PathBuf,
    pub(super) max_bytes: u64,
}

/// A downloaded recording.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) file: Arc<File>,
    pub(super) meta: ObjectMeta,
}

impl Spool {
    /// Downloads the body of a response. Returns the file, its size and the SHA-256 of its content.
    pub(super) async fn download(
        &self,
        op: &Operation,
        size: Option<u64>,
        response: Response,
    ) -> Result<(File, u64, String), Error> {
        let too_large = |bytes: &str| {
            let message = format!(
                "the server does not serve ranges, and the recording has {bytes} bytes: at most {} are \
                 downloaded",
                self.max_bytes
            );
            op.error(ErrorKind::TooLarge, message)
        };
        if let Some(size) = size.filter(|size| *size > self.max_bytes) {
            return Err(too_large(&size.to_string()));
        }
        let failed = |error: io::Error| {
            let message = format!("cannot write a temporary file in {}", self.directory.display());
            op.error(ErrorKind::Full, message).with_source(error)
        };
        let directory = self.directory.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory)).await;
        let file = file.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        let (mut received, mut hash) = (0_u64, Sha256::new());
        let mut incoming = Incoming::new(op, response);
        while let Some(chunk) = incoming.next().await? {
            received += chunk.len() as u64;
            if received > self.max_bytes {
                return Err(too_large("more"));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        if size.is_some_and(|size| size != received) {
            return Err(op.error(ErrorKind::Unavailable, "the response ended early"));
        }
        Ok((file.into_std().await, received, hex::encode(hash.finalize())))
    }
}

impl Spooled {
    /// Reads the part of a range that lies within the recording.
    pub(super) async fn read(
        &self,
        op: &Operation,
        range: Range<u64>,
        etag: &str,
    ) -> Result<Bytes, Error> {
        if etag != self.meta.etag {
            return Err(op.changed());
        }
        let length = range.end.min(self.meta.size).saturating_sub(range.start);
        let (file, mut bytes) = (Arc::clone(&self.file), vec![0; length as usize]);
        let read = tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        });
        let read = read.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        read.map(Bytes::from).map_err(|error| {
            op.error(ErrorKind::Other, "cannot read the temporary file").with_source(error)
        })
    }
}

/// Returns what stands for the ETag of content of which the server tells nothing else.
pub(super) fn digest(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
