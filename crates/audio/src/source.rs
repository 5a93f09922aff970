//! The bytes of a recording, with a record of what was read and of what went wrong.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::io::MediaSource;

/// Bytes of the beginning that are kept, to look at before any format is chosen.
const HEAD_BYTES: usize = 16 * 1024;

/// Why the bytes stopped coming.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    TooLong { actual: Option<u64>, limit: u64 },
}

/// What a [`Source`] has seen. symphonia's probe and some of its demuxers take a failed read for
/// the end of the file, so the truth is kept beside them and asked for whenever they stop.
#[derive(Debug, Default)]
struct Record {
    bytes_read: u64,
    failed: bool,
    failure: Option<Failure>,
}

/// The side of a [`Source`] that stays with the decoder once symphonia owns the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(Arc<Mutex<Record>>);

impl Witness {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        // A record is whole at every step, so a panic while it was locked has not hurt it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.record().bytes_read
    }

    /// The first failure, once.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.record().failure.take()
    }

    fn fail(&self, failure: Failure) -> io::Error {
        let mut record = self.record();
        record.failed = true;
        record.failure.get_or_insert(failure);
        failed_before()
    }
}

fn failed_before() -> io::Error {
    io::Error::other("the source of the recording failed")
}

/// A [`MediaSource`] that counts, bounds, remembers its first failure, and replays its beginning,
/// so that looking at the beginning costs no second read.
pub(crate) struct Source {
    inner: Box<dyn MediaSource>,
    inner_pos: u64,
    head: Vec<u8>,
    pos: u64,
    limit: u64,
    seekable: bool,
    /// The length that the container promises, where it is more than there is.
    promised_len: Option<u64>,
    witness: Witness,
}

impl Source {
    /// Reads the head. `limit`: bytes beyond which reading fails.
    pub(crate) fn open(inner: Box<dyn MediaSource>, limit: u64) -> Result<Self, Failure> {
        let mut source = Source {
            inner,
            inner_pos: 0,
            head: Vec::new(),
            pos: 0,
            limit,
            seekable: false,
            promised_len: None,
            witness: Witness::default(),
        };
        if let Some(len) = source.inner.byte_len().filter(|&len| len > limit) {
            return Err(Failure::TooLong { actual: Some(len), limit });
        }
        let mut head = vec![0; HEAD_BYTES];
        let mut filled = 0;
        while filled < head.len() {
            match source.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) => return Err(source.witness.take_failure().unwrap_or(Failure::Read(e))),
            }
        }
        head.truncate(filled);
        source.head = head;
        source.pos = 0;
        Ok(source)
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn witness(&self) -> Witness {
        self.witness.clone()
    }

    /// Lets symphonia seek. Off by default: what reads forward only asks a remote store for each
    /// byte once, takes files that were cut off as they are, and builds no index of the whole.
    pub(crate) fn allow_seeking(&mut self) {
        self.seekable = self.inner.is_seekable();
    }

    /// Gives out `len` as the length, for demuxers that throw away what does not fit into the file:
    /// reading beyond what is there ends there.
    pub(crate) fn promise_len(&mut self, len: u64) {
        self.promised_len = Some(len);
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

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.witness.record().failed {
            return Err(failed_before());
        }
        let replay = usize::try_from(self.pos).ok().and_then(|pos| self.head.get(pos..));
        if let Some(rest) = replay.filter(|rest| !rest.is_empty()) {
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            self.pos += n as u64;
            return Ok(n);
        }
        let n = match self.read_inner(buf) {
            Ok(n) => n,
            Err(e) => return Err(self.witness.fail(Failure::Read(e))),
        };
        self.inner_pos += n as u64;
        self.pos += n as u64;
        self.witness.record().bytes_read += n as u64;
        if n > 0 && self.pos > self.limit {
            return Err(self.witness.fail(Failure::TooLong { actual: None, limit: self.limit }));
        }
        Ok(n)
    }
}

impl Seek for Source {
    /// Only notes the position: the source itself is moved by the next read that needs it.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(pos) => (pos, 0),
            SeekFrom::Current(offset) => (self.pos, offset),
            SeekFrom::End(offset) => (self.byte_len().ok_or(ErrorKind::Unsupported)?, offset),
        };
        self.pos = base.checked_add_signed(offset).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.pos)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.promised_len.or_else(|| self.inner.byte_len())
    }
}
