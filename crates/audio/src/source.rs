//! The bytes of a recording, with counts of the bytes read and the first failure.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::io::MediaSource;

use crate::ebml::segment_end;

/// Bytes kept from the beginning, from which the format is detected.
const HEAD_BYTES: usize = 16 * 1024;

/// Why reading failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    TooLong { actual: Option<u64>, limit: u64 },
    ElementTooLong { limit: u64 },
}

/// Reading state of a [`Source`].
#[derive(Debug, Default)]
struct ReadState {
    bytes_read: u64,
    /// Bytes that may be read of the element that is being read, and how many of them are left.
    element: Option<(u64, u64)>,
    failed: bool,
    failure: Option<Failure>,
    returning: Returning,
}

/// Whether a [`Source`] comes back when symphonia drops it.
#[derive(Debug, Default)]
enum Returning {
    #[default]
    No,
    Wanted,
    Returned(Box<Source>),
}

/// A handle to the reading state of a [`Source`], for the decoder once symphonia owns the source.
///
/// symphonia's probe and some of its demuxers treat a failed read as the end of the file. So the
/// source remembers its failure, and the decoder checks for it whenever symphonia stops.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadMonitor(Arc<Mutex<ReadState>>);

impl ReadMonitor {
    fn state(&self) -> std::sync::MutexGuard<'_, ReadState> {
        // The state is consistent at every step, so a poisoned lock does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.state().bytes_read
    }

    /// Fails if more than `limit` bytes are read before the next call. symphonia reads an element of a
    /// container whole, however long it declares to be.
    pub(crate) fn limit_element(&self, limit: u64) {
        self.state().element = Some((limit, limit));
    }

    /// Counts `n` bytes read.
    fn count(&self, n: u64) -> Result<(), Failure> {
        let mut state = self.state();
        state.bytes_read += n;
        match &mut state.element {
            Some((limit, left)) if n > *left => Err(Failure::ElementTooLong { limit: *limit }),
            Some((_, left)) => {
                *left -= n;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes the first failure; later calls return `None`.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.state().failure.take()
    }

    /// Makes the source come back when it is dropped, for another decoder.
    pub(crate) fn return_when_dropped(&self) {
        self.state().returning = Returning::Wanted;
    }

    /// Returns the dropped source, at its beginning.
    pub(crate) fn take_source(&self) -> Option<Source> {
        match std::mem::take(&mut self.state().returning) {
            Returning::Returned(source) => Some(*source),
            _ => None,
        }
    }

    fn fail(&self, failure: Failure) -> io::Error {
        let mut state = self.state();
        state.failed = true;
        state.failure.get_or_insert(failure);
        failed_before()
    }
}

fn failed_before() -> io::Error {
    io::Error::other("the source of the recording failed")
}

/// A [`MediaSource`] that counts and limits the bytes read and remembers its first failure. It
/// replays the beginning from memory, so that detecting the format costs no second read.
pub(crate) struct Source {
    inner: Box<dyn MediaSource>,
    inner_pos: u64,
    /// Bytes in memory, and the position of the first.
    head: Vec<u8>,
    head_at: u64,
    pos: u64,
    limit: u64,
    seekable: bool,
    /// Length that the container declares, if it is more than the actual length.
    declared_len: Option<u64>,
    /// The last bytes read.
    tail: Vec<u8>,
    monitor: ReadMonitor,
}

impl Source {
    /// Reads the head. Reading more than `limit` bytes fails.
    pub(crate) fn open(inner: Box<dyn MediaSource>, limit: u64) -> Result<Self, Failure> {
        let mut source = Source {
            inner,
            inner_pos: 0,
            head: Vec::new(),
            head_at: 0,
            pos: 0,
            limit,
            seekable: false,
            declared_len: None,
            tail: Vec::new(),
            monitor: ReadMonitor::default(),
        };
        if let Some(len) = source.inner.byte_len().filter(|&len| len > limit) {
            return Err(Failure::TooLong { actual: Some(len), limit });
        }
        match source.begin_at(0) {
            Ok(()) => Ok(source),
            Err(e) => Err(source.monitor.take_failure().unwrap_or(Failure::Read(e))),
        }
    }

    /// Moves to `pos`, where a recording begins, and reads its head.
    pub(crate) fn begin_at(&mut self, pos: u64) -> io::Result<()> {
        let mut head = vec![0; HEAD_BYTES];
        let mut filled = 0;
        self.pos = pos;
        while filled < head.len() {
            match self.read(&mut head[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        head.truncate(filled);
        // More may be in memory than a head: what was read beyond the end of the recording before.
        let in_memory = self.head_at + self.head.len() as u64;
        if self.head_at > pos || in_memory < pos + filled as u64 {
            (self.head, self.head_at) = (head, pos);
        }
        (self.pos, self.declared_len, self.seekable) = (pos, None, false);
        Ok(())
    }

    /// Keeps `bytes` in memory, which begin at `at` and were read before.
    pub(crate) fn replay(&mut self, at: u64, bytes: Vec<u8>) {
        (self.head, self.head_at) = (bytes, at);
    }

    /// Returns the first bytes of the recording.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[..self.head.len().min(HEAD_BYTES)]
    }

    /// Returns the bytes at `pos` that are in memory.
    pub(crate) fn head_at(&self, pos: u64) -> Vec<u8> {
        let skip = pos.checked_sub(self.head_at).and_then(|skip| usize::try_from(skip).ok());
        let bytes = skip.and_then(|skip| self.head.get(skip..)).unwrap_or_default();
        bytes[..bytes.len().min(HEAD_BYTES)].to_vec()
    }

    pub(crate) fn monitor(&self) -> ReadMonitor {
        self.monitor.clone()
    }

    /// Lets symphonia seek. Seeking is off by default, because a demuxer that only reads forward
    /// requests each byte from a remote store once, accepts files that were cut off, and builds no
    /// index of the whole file.
    pub(crate) fn allow_seeking(&mut self) {
        self.seekable = self.inner.is_seekable();
    }

    /// Returns whether every byte can be read again.
    pub(crate) fn rewinds(&self) -> bool {
        self.inner.is_seekable()
    }

    /// Reports `len` as the length, for demuxers that drop elements which extend beyond the end of
    /// the file. Reading still stops at the actual end.
    pub(crate) fn declare_len(&mut self, len: u64) {
        self.declared_len = Some(len);
    }

    /// Returns the bytes in memory and the position of the first.
    pub(crate) fn in_memory(&self) -> (u64, &[u8]) {
        (self.head_at, &self.head)
    }

    /// Returns the last bytes read, before [`Source::position`].
    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    pub(crate) fn position(&self) -> u64 {
        self.pos
    }

    /// Keeps the last of `bytes`, which were read at the position.
    fn keep_tail(&mut self, bytes: &[u8]) {
        let kept = HEAD_BYTES.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(HEAD_BYTES)..]);
        self.pos += bytes.len() as u64;
    }

    /// Returns the end of the recording that begins at the position, if its header declares one.
    pub(crate) fn declared_end_of_part(&self) -> Option<u64> {
        let end = segment_end(&self.head_at(self.pos))?;
        self.pos.checked_add(end)
    }

    fn read_inner(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.pos != self.inner_pos {
            self.inner_pos = if self.inner.is_seekable() {
                self.inner.seek(SeekFrom::Start(self.pos))?
            } else {
                let gap = self.pos.checked_sub(self.inner_pos).ok_or(ErrorKind::Unsupported)?;
                self.inner_pos + io::copy(&mut self.inner.by_ref().take(gap), &mut io::sink())?
            };
        }
        loop {
            match self.inner.read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => return other,
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut state = self.monitor.state();
        if !matches!(state.returning, Returning::Wanted) {
            return;
        }
        let source = Source {
            inner: std::mem::replace(&mut self.inner, Box::new(io::Cursor::new([]))),
            inner_pos: self.inner_pos,
            head: std::mem::take(&mut self.head),
            head_at: self.head_at,
            pos: 0,
            limit: self.limit,
            seekable: false,
            declared_len: None,
            tail: Vec::new(),
            monitor: ReadMonitor::default(),
        };
        // Its bytes count on; its monitor is its own, so that it does not hold itself.
        source.monitor.state().bytes_read = state.bytes_read;
        state.returning = Returning::Returned(Box::new(source));
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("pos", &self.pos).finish_non_exhaustive()
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.monitor.state().failed {
            return Err(failed_before());
        }
        let replay = self.pos.checked_sub(self.head_at).and_then(|pos| usize::try_from(pos).ok());
        let replay = replay.and_then(|pos| self.head.get(pos..));
        if let Some(rest) = replay.filter(|rest| !rest.is_empty()) {
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            self.keep_tail(&buf[..n]);
            return Ok(n);
        }
        let n = match self.read_inner(buf) {
            Ok(n) => n,
            Err(e) => return Err(self.monitor.fail(Failure::Read(e))),
        };
        self.inner_pos += n as u64;
        self.keep_tail(&buf[..n]);
        self.monitor.count(n as u64).map_err(|failure| self.monitor.fail(failure))?;
        if n > 0 && self.pos > self.limit {
            return Err(self.monitor.fail(Failure::TooLong { actual: None, limit: self.limit }));
        }
        Ok(n)
    }
}

impl Seek for Source {
    /// Only stores the position; the next read that needs the inner source moves it.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(pos) => (pos, 0),
            SeekFrom::Current(offset) => (self.pos, offset),
            SeekFrom::End(offset) => (self.byte_len().ok_or(ErrorKind::Unsupported)?, offset),
        };
        let pos = base.checked_add_signed(offset).ok_or(ErrorKind::InvalidInput)?;
        if pos != self.pos {
            self.tail.clear();
        }
        self.pos = pos;
        Ok(self.pos)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.declared_len.or_else(|| self.inner.byte_len())
    }
}
