//! What was recognized of recordings whose transcription was interrupted on this machine, without a queue:
//! the next run of the same command goes on from there, as a worker does from checkpoints.
//!
//! Each recording in work has a file of JSON lines, one for each window, named by a digest of all that the
//! windows depend on. It is written while the transcription goes on, and deleted when it ends. The files
//! are a cache: whatever is wrong with one, its windows are computed again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    mem,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use speech::pipeline::{Journal, Session, TaskKey, TaskResult};

use super::{Plan, journal::TaskJournal};
use crate::lock;

/// How much work may be lost when the process is killed. A recording that takes less has no file.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Largest file that is read: the results for ten hours of speech with speakers have some 60 MB.
const MAX_BYTES: u64 = 128 << 20;
/// Age at which a file is deleted that nobody came back for.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
const EXTENSION: &str = "windows";

/// The folder of unfinished recordings.
#[derive(Debug)]
pub(crate) struct Unfinished {
    folder: PathBuf,
}

/// The file of one recording, which is created when there is something to keep.
#[derive(Debug)]
pub(crate) struct UnfinishedRecording {
    path: PathBuf,
    /// What earlier runs have written.
    earlier: TaskJournal,
    pending: Mutex<Pending>,
}

#[derive(Debug)]
struct Pending {
    file: Option<File>,
    written_at: Instant,
    /// A failed write is told once.
    failed: bool,
}

impl Unfinished {
    /// Keeps files in `folder`, which is created when it is needed; deletes those that are too old.
    pub(crate) fn new(folder: PathBuf) -> Self {
        if let Err(error) = delete_old(&folder) {
            tracing::debug!(%error, folder = %folder.display(), "cannot look for old files");
        }
        Self { folder }
    }

    /// Sets the journal of a session that is about to execute a plan, with what earlier runs have computed.
    /// Returns it with the bytes that were read.
    pub(crate) fn begin(&self, plan: &Plan, session: &Session) -> (Arc<UnfinishedRecording>, u64) {
        let mut digest = Sha256::new();
        for part in [&plan.uri, &plan.meta.etag, &plan.fingerprint] {
            digest.update(part);
            digest.update([0]);
        }
        let path = self.folder.join(format!("{:x}.{EXTENSION}", digest.finalize()));
        let recording = Arc::new(UnfinishedRecording {
            path,
            earlier: TaskJournal::default(),
            pending: Mutex::new(Pending { file: None, written_at: Instant::now(), failed: false }),
        });
        let bytes = match recording.load() {
            Ok(bytes) => bytes,
            Err(error) => {
                let path = recording.path.display();
                tracing::warn!(%error, %path, "cannot read what was transcribed before");
                0
            }
        };
        session.set_journal(Arc::clone(&recording) as _);
        (recording, bytes)
    }
}

impl UnfinishedRecording {
    /// Reads what earlier runs have written.
    fn load(&self) -> io::Result<u64> {
        let size = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() <= MAX_BYTES => metadata.len(),
            Ok(_) => return Err(io::Error::other("it is too large")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let body = Bytes::from(fs::read(&self.path)?);
        let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let (found, _torn) = self.earlier.add(lines.map(|line| body.slice_ref(line)).collect());
        if found.windows > 0 {
            let minutes = found.audio_seconds / 60.0;
            tracing::info!("going on: {minutes:.1} minutes of speech were transcribed before");
        }
        Ok(size)
    }

    /// Ends the recording. What is not done and may go on is kept.
    pub(crate) fn end(&self, keep: bool) {
        let mut pending = lock(&self.pending);
        if keep {
            return self.write(&mut pending);
        }
        pending.file = None;
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(%error, path = %self.path.display(), "cannot delete");
        }
    }

    fn write(&self, pending: &mut Pending) {
        let lines = self.earlier.take();
        if lines.is_empty() {
            return;
        }
        pending.written_at = Instant::now();
        // One write for all lines: another process that transcribes the same recording may append its own.
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        let written = match &mut pending.file {
            Some(file) => file.write_all(&text),
            None => open(&self.path).and_then(|file| pending.file.insert(file).write_all(&text)),
        };
        if let Err(error) = written
            && !mem::replace(&mut pending.failed, true)
        {
            let path = self.path.display();
            tracing::warn!(%error, %path, "cannot keep what is transcribed: an interruption loses it");
        }
    }
}

impl Journal for UnfinishedRecording {
    fn recall(&self, key: &TaskKey) -> Option<TaskResult> {
        self.earlier.recall(key)
    }

    fn record(&self, key: TaskKey, result: &TaskResult) {
        self.earlier.record(key, result);
        let mut pending = lock(&self.pending);
        if pending.written_at.elapsed() >= WRITE_INTERVAL {
            self.write(&mut pending);
        }
    }
}

/// Opens a file to append to it. Transcripts may be confidential: only this user may read it.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    // A process that was killed may have left a line without its end.
    file.write_all(b"\n")?;
    Ok(file)
}

fn delete_old(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let modified = fs::symlink_metadata(&path)?.modified()?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == EXTENSION) && age > MAX_AGE {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
