//! Reads an object as a seekable stream of bytes, ahead of its consumer.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures::executor::block_on;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{Error, ErrorKind, ObjectMeta, Store};

/// Sizes of the requests of a [`Reader`], and its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAhead {
    /// Bytes of the first request, and of the first request after a seek.
    pub first_bytes: u64,
    /// Limit in bytes for one request. While the reader is read sequentially, each request is twice
    /// as large as the one before. A reader holds at most two of them: the window being read and
    /// the request for the next one.
    pub max_bytes: u64,
    /// Number of times that a request is sent if the store is unavailable, including the first.
    pub attempts: u32,
    /// Minimum delay before the first retry. It doubles with each retry, and jitter of up to the
    /// same length is added.
    pub min_delay: Duration,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self {
            first_bytes: 1 << 20,
            max_bytes: 8 << 20,
            attempts: 6,
            min_delay: Duration::from_millis(250),
        }
    }
}

/// An object as a seekable stream of bytes, for decoders.
///
/// Reads block, so use it on a thread that may block, such as those of `spawn_blocking`. Requests
/// run on the runtime of the handle; the next one runs while the last one is being read. Every
/// request names the ETag of the object, so all bytes come from one version of it, or there is an
/// error. A seek within the bytes that have been fetched is free; any other seek costs a request at
/// the next read.
///
/// Transient failures are retried. An error of the store is returned as an [`io::Error`] that
/// contains the [`store::Error`](Error).
pub struct Reader {
    source: Arc<Source>,
    runtime: Handle,
    position: u64,
    window: Window,
    /// The pending request for the bytes after the window.
    ahead: Option<PendingRead>,
    /// Size of the latest request in bytes.
    step: u64,
}

/// The part of the object that has been fetched and is being read.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Returns the bytes from `position` to the end, or `None` if the window has none.
    fn bytes_from(&self, position: u64) -> Option<&[u8]> {
        let skip = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|rest| !rest.is_empty())
    }
}

struct PendingRead {
    range: Range<u64>,
    task: JoinHandle<Result<Bytes, Error>>,
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Returns a reader at the beginning of the object that `meta` describes.
    pub fn new(store: Arc<dyn Store>, meta: ObjectMeta, runtime: Handle) -> Self {
        Self::with_read_ahead(store, meta, runtime, ReadAhead::default())
    }

    pub fn with_read_ahead(
        store: Arc<dyn Store>,
        meta: ObjectMeta,
        runtime: Handle,
        read_ahead: ReadAhead,
    ) -> Self {
        Self {
            source: Arc::new(Source { store, meta, read_ahead }),
            runtime,
            position: 0,
            window: Window::default(),
            ahead: None,
            step: 0,
        }
    }

    /// Sets the first bytes of the object, which have been read already.
    #[must_use]
    pub fn with_start(mut self, bytes: Bytes) -> Self {
        self.step = bytes.len() as u64;
        self.window = Window { start: 0, bytes };
        self
    }

    /// Describes the object.
    pub fn meta(&self) -> &ObjectMeta {
        &self.source.meta
    }

    fn size(&self) -> u64 {
        self.source.meta.size
    }

    /// Moves the window to the position, which must be before the end of the object.
    fn fetch(&mut self) -> Result<(), Error> {
        let next = self.ahead.take().filter(|ahead| ahead.range.contains(&self.position));
        let mut ahead = match next {
            Some(ahead) => ahead,
            None => {
                self.step = 0;
                self.request(self.position)
            }
        };
        // Free the old window before waiting, so that the reader never holds a third request.
        self.window = Window::default();
        let bytes = block_on(&mut ahead.task).unwrap_or_else(|stopped| {
            let error = self.source.error(ErrorKind::Unavailable, "the read was aborted");
            Err(error.with_source(stopped))
        })?;
        self.window = Window { start: ahead.range.start, bytes };
        Ok(())
    }

    /// Requests the bytes from `start` on, twice as many as the last request.
    fn request(&mut self, start: u64) -> PendingRead {
        let ReadAhead { first_bytes: first, max_bytes: max, .. } = self.source.read_ahead;
        self.step = self.step.saturating_mul(2).clamp(first, max.max(first)).max(1);
        let range = start..start.saturating_add(self.step).min(self.size());
        let (source, wanted) = (self.source.clone(), range.clone());
        let task = self.runtime.spawn(async move { source.read(wanted).await });
        PendingRead { range, task }
    }

    /// Requests the next bytes once half of the window has been read. An earlier request would
    /// often be wasted, because decoders seek while they read a container's header.
    fn read_ahead(&mut self) {
        let end = self.window.end();
        let half = self.window.start + self.window.bytes.len() as u64 / 2;
        if self.ahead.is_none() && self.position >= half && end < self.size() {
            self.ahead = Some(self.request(end));
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.position >= self.size() {
            return Ok(0);
        }
        // Two rounds at most: the pending request may end before a position that was sought since.
        while self.window.bytes_from(self.position).is_none() {
            self.fetch()?;
        }
        let here = self.window.bytes_from(self.position).unwrap_or_default();
        let count = here.len().min(out.len());
        out[..count].copy_from_slice(&here[..count]);
        self.position += count as u64;
        self.read_ahead();
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to a position before the beginning")
        })?;
        Ok(self.position)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("store", &self.source.store)
            .field("meta", &self.source.meta)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// One version of one object.
struct Source {
    store: Arc<dyn Store>,
    meta: ObjectMeta,
    read_ahead: ReadAhead,
}

impl Source {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, "read", &self.meta.key, message)
    }

    /// Reads a range that lies within the object: usually all of it, and always some bytes.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let ReadAhead { attempts, min_delay, .. } = self.read_ahead;
        let retries = attempts.saturating_sub(1) as usize;
        let backoff = ExponentialBuilder::new()
            .with_min_delay(min_delay)
            .without_max_delay()
            .with_max_times(retries)
            .with_jitter();
        let mut attempt = 0;
        let result = (|| self.read_once(range.clone()))
            .retry(backoff)
            .when(|error| error.kind == ErrorKind::Unavailable)
            .notify(|error, delay| {
                attempt += 1;
                tracing::warn!(
                    error = format!("{error:#}"),
                    attempt,
                    ?delay,
                    "read failed, retrying"
                );
            })
            .await;
        result.map_err(|error| match error.kind {
            ErrorKind::Unavailable => {
                Error { message: format!("{} ({} attempts)", error.message, retries + 1), ..error }
            }
            _ => error,
        })
    }

    async fn read_once(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = self.store.read(&self.meta.key, range, &self.meta.etag).await?;
        if bytes.is_empty() {
            return Err(self.error(ErrorKind::Unavailable, "the store sent an empty response"));
        }
        Ok(bytes.slice(..bytes.len().min(wanted)))
    }
}
