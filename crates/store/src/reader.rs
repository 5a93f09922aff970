use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::executor::block_on;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{Error, Kind, ObjectMeta, Store};

/// How a [`Reader`] reads ahead, and how long it bears a store that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAhead {
    /// Bytes of the first request, and of the first after a seek.
    pub first: u64,
    /// Requests double up to this many bytes while the reading is sequential. A reader holds at
    /// most two of them: the one being read and the one being fetched.
    pub largest: u64,
    /// How often a request that brings nothing is sent in all, when the store is unavailable.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time.
    pub pause: Duration,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { first: 1 << 20, largest: 8 << 20, attempts: 6, pause: Duration::from_millis(250) }
    }
}

/// An object as a seekable stream of bytes, for decoders.
///
/// Reading blocks: it belongs on a thread that may, `spawn_blocking`'s for example. The requests run
/// on the runtime of the handle, the next one while the last is being read. Every request asks for
/// the ETag that was opened, so the bytes are those of one version of the object or there is an
/// error. Seeking is free within what has been fetched, and otherwise costs a request at the next
/// read.
///
/// An error of the store comes as an [`io::Error`] that holds the [`store::Error`](Error); passing
/// failures are retried before.
pub struct Reader {
    source: Arc<Source>,
    runtime: Handle,
    position: u64,
    window: Window,
    /// The request under way, for what follows the window.
    ahead: Option<Ahead>,
    /// Bytes of the latest request.
    step: u64,
}

/// Bytes of the object that are here.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn from(&self, position: u64) -> Option<&[u8]> {
        let skip = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|rest| !rest.is_empty())
    }
}

struct Ahead {
    range: Range<u64>,
    task: JoinHandle<Result<Bytes, Error>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// A reader at the beginning of the object that `meta` describes.
    pub fn new(store: Arc<dyn Store>, meta: ObjectMeta, runtime: Handle) -> Self {
        Self::with(store, meta, runtime, ReadAhead::default())
    }

    pub fn with(
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

    /// What is being read.
    pub fn meta(&self) -> &ObjectMeta {
        &self.source.meta
    }

    fn size(&self) -> u64 {
        self.source.meta.size
    }

    /// Moves the window to the position, which lies before the end of the object.
    fn fetch(&mut self) -> Result<(), Error> {
        let next = self.ahead.take().filter(|ahead| ahead.range.contains(&self.position));
        let mut ahead = match next {
            Some(ahead) => ahead,
            None => {
                self.step = 0;
                self.request(self.position)
            }
        };
        // Freed before more comes: this is what bounds the memory.
        self.window = Window::default();
        let bytes = block_on(&mut ahead.task).unwrap_or_else(|stopped| {
            let why = format!("the reading was broken off: {stopped}");
            Err(self.source.error(Kind::Unavailable, why))
        })?;
        self.window = Window { start: ahead.range.start, bytes };
        Ok(())
    }

    /// Sends for the bytes from `start` on, twice as many as the last time.
    fn request(&mut self, start: u64) -> Ahead {
        let ReadAhead { first, largest, .. } = self.source.read_ahead;
        self.step = self.step.saturating_mul(2).clamp(first, largest.max(first)).max(1);
        let range = start..start.saturating_add(self.step).min(self.size());
        let (source, wanted) = (self.source.clone(), range.clone());
        let task = self.runtime.spawn(async move { source.read(wanted).await });
        Ahead { range, task }
    }

    /// Sends for what follows once half of the window is read: earlier it would often be in vain,
    /// since a container's header is read with seeks.
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
        // Twice at most: what was fetched ahead may end before a position that was sought since.
        while self.window.from(self.position).is_none() {
            self.fetch()?;
        }
        let here = self.window.from(self.position).unwrap_or_default();
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
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a seek before the beginning");
        self.position = target.ok_or_else(before)?;
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
    fn error(&self, kind: Kind, message: impl Into<String>) -> Error {
        Error::new(kind, "read", &self.meta.key, message)
    }

    /// The beginning of a range that lies within the object, all of it as a rule, but something.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let ReadAhead { attempts, mut pause, .. } = self.read_ahead;
        let mut attempt = 1;
        loop {
            let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let answer = self.store.read(&self.meta.key, range.clone(), &self.meta.etag).await;
            let failure = match answer {
                Ok(bytes) if !bytes.is_empty() => return Ok(bytes.slice(..bytes.len().min(wanted))),
                Ok(_) => self.error(Kind::Unavailable, "the store sent nothing"),
                Err(error) if error.kind == Kind::Unavailable => error,
                Err(error) => return Err(error),
            };
            if attempt >= attempts {
                let message = format!("{} ({attempt} attempts)", failure.message);
                return Err(Error { message, ..failure });
            }
            tracing::warn!(error = %failure, attempt, "reading again after a failure");
            tokio::time::sleep(pause).await;
            attempt += 1;
            pause = pause.saturating_mul(2);
        }
    }
}
