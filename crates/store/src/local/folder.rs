//! Operations on the files of one folder. They block.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use location::check_file_key;
use tempfile::NamedTempFile;

use super::{
    error::from_io,
    etag::{etag_of, make_different},
    uri,
};
use crate::{Condition, Error, ErrorKind, ObjectMeta};

/// Prefix of the names of temporary files, which are not listed.
pub(super) const TEMPORARY_PREFIX: &str = ".scriptorium-";

/// The folder of a [`LocalStore`](super::LocalStore).
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn uri(&self, key: &str) -> String {
        uri(&self.root, key)
    }

    pub(super) fn head(&self, key: &str) -> Result<ObjectMeta, Error> {
        let op = self.operation("head", key)?;
        let metadata = op.metadata()?;
        Ok(describe(key, &metadata))
    }

    pub(super) fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let op = self.operation("read", key)?;
        let (mut file, metadata) = op.open()?;
        let end = range.end.min(metadata.len());
        let mut body = Vec::new();
        if etag_of(&metadata) == etag && range.start < end {
            body.reserve_exact(usize::try_from(end - range.start).unwrap_or(0));
            op.io(file.seek(SeekFrom::Start(range.start)))?;
            op.io((&file).take(end - range.start).read_to_end(&mut body))?;
        }
        // Checked after the read, because the file may also change during it.
        if etag_of(&op.io(file.metadata())?) != etag {
            return Err(op.error(ErrorKind::Changed, "the file changed since it was opened"));
        }
        Ok(body.into())
    }

    pub(super) fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let op = self.operation("get", key)?;
        let (file, metadata) = op.open()?;
        if metadata.len() > limit {
            let message = format!("{} bytes, the limit is {limit}", metadata.len());
            return Err(op.error(ErrorKind::TooLarge, message));
        }
        let mut body = Vec::new();
        op.io((&file).take(limit).read_to_end(&mut body))?;
        let meta = describe(key, &metadata);
        if etag_of(&op.io(file.metadata())?) != meta.etag {
            return Err(op.error(ErrorKind::Changed, "the file changed while it was read"));
        }
        Ok((meta, body.into()))
    }

    pub(super) fn put(
        &self,
        key: &str,
        body: &[u8],
        condition: &Condition,
    ) -> Result<String, Error> {
        let op = self.operation("put", key)?;
        let parent = op.path.parent().unwrap_or(&self.root);
        create_folders(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                let message = "a part of the key that must be a folder is a file";
                op.error(ErrorKind::Invalid, message).with_source(error)
            }
            _ => from_io(op.name, &op.uri, error),
        })?;
        if op.path.is_dir() {
            return Err(op.error(ErrorKind::Invalid, "this is a folder, not a file"));
        }

        // Dropping `temporary` removes the file, unless it was persisted.
        let mut temporary = op.io(tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(0o666)) // less the umask, as for any new file
            .tempfile_in(parent))?;
        op.io(temporary.write_all(body))?;
        op.io(temporary.as_file().sync_all())?;

        let replace = |temporary: NamedTempFile| {
            if let Ok(old) = fs::metadata(&op.path) {
                make_different(temporary.as_file(), &old);
            }
            op.io(temporary.persist(&op.path).map_err(|e| e.error))
        };
        let written = match condition {
            Condition::Always => replace(temporary)?,
            Condition::IfAbsent => {
                op.io(temporary.persist_noclobber(&op.path).map_err(|e| e.error))?
            }
            Condition::IfMatch(expected) => {
                let _lock = op.lock_if(expected)?;
                replace(temporary)?
            }
        };
        op.io(sync_folder(parent))?;
        Ok(etag_of(&op.io(written.metadata())?))
    }

    /// Finds out whether `put` could write the file, without leaving anything behind.
    pub(super) fn check_writable(&self, key: &str) -> Result<(), Error> {
        let op = self.operation("put", key)?;
        if op.path.is_dir() {
            return Err(op.error(ErrorKind::Invalid, "this is a folder, not a file"));
        }
        let mut folder = op.path.parent().unwrap_or(&self.root);
        loop {
            match fs::metadata(folder) {
                Ok(metadata) if metadata.is_dir() => break,
                Ok(_) => {
                    let message = format!("{} is a file, not a folder", folder.display());
                    return Err(op.error(ErrorKind::Invalid, message));
                }
                // What is missing will be created. A link that leads nowhere cannot be.
                Err(error)
                    if is_missing(&error)
                        && fs::symlink_metadata(folder).is_err_and(|error| is_missing(&error)) =>
                {
                    match folder.parent() {
                        Some(parent) => folder = parent,
                        None => return op.io(Err(error)),
                    }
                }
                Err(error) => return op.io(Err(error)),
            }
        }
        // Whatever permissions and flags say: only a write shows that it works.
        let written = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder);
        op.io(written.and_then(NamedTempFile::close))
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), Error> {
        let op = self.operation("delete", key)?;
        match fs::remove_file(&op.path) {
            Ok(()) => Ok(()),
            Err(_) if op.path.is_dir() => Ok(()),
            Err(error) => match from_io(op.name, &op.uri, error) {
                error if error.kind == ErrorKind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    fn operation(&self, name: &'static str, key: &str) -> Result<Operation, Error> {
        let uri = self.uri(key);
        match check_file_key(key) {
            Ok(()) => Ok(Operation { name, path: self.root.join(key), uri }),
            Err(reason) => Err(invalid_key(name, uri, reason)),
        }
    }
}

/// Returns the error of a key that is not a path below the folder.
pub(super) fn invalid_key(
    operation: &'static str,
    uri: String,
    reason: location::ErrorKind,
) -> Error {
    Error::new(ErrorKind::Invalid, operation, uri, "not a valid key").with_source(reason)
}

/// One operation on one file.
struct Operation {
    name: &'static str,
    path: PathBuf,
    uri: String,
}

impl Operation {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, self.name, &self.uri, message)
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| from_io(self.name, &self.uri, error))
    }

    fn metadata(&self) -> Result<Metadata, Error> {
        let metadata = self.io(fs::metadata(&self.path))?;
        if metadata.is_dir() {
            return Err(self.error(ErrorKind::NotFound, "this is a folder, not a file"));
        }
        if !metadata.is_file() {
            return Err(self.error(ErrorKind::Invalid, "not a regular file"));
        }
        Ok(metadata)
    }

    /// Opens the file. Checks its type first, because opening a pipe would wait for its writer.
    fn open(&self) -> Result<(File, Metadata), Error> {
        self.metadata()?;
        let file = self.io(File::open(&self.path))?;
        let metadata = self.io(file.metadata())?;
        Ok((file, metadata))
    }

    /// Locks the file against other conditional writers, if it has this ETag.
    fn lock_if(&self, etag: &str) -> Result<File, Error> {
        let differs = || self.error(ErrorKind::Precondition, "the file was replaced or deleted");
        loop {
            let locked = match self.open() {
                Ok((file, _)) => file,
                Err(error) if error.kind == ErrorKind::NotFound => return Err(differs()),
                Err(error) => return Err(error),
            };
            self.io(locked.lock())?;
            let current = match fs::metadata(&self.path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(differs()),
                Err(error) => return self.io(Err(error)),
            };
            if etag_of(&current) != etag {
                return Err(differs());
            }
            // If the inodes differ, the file was replaced while we waited for the lock, and the
            // lock is on the old file: try again.
            if current.ino() == self.io(locked.metadata())?.ino() {
                return Ok(locked);
            }
        }
    }
}

pub(super) fn describe(key: &str, metadata: &Metadata) -> ObjectMeta {
    ObjectMeta {
        key: key.to_owned(),
        size: metadata.len(),
        etag: etag_of(metadata),
        modified: metadata.modified().ok(),
        metadata: BTreeMap::new(),
    }
}

/// Creates the folder and its missing parents, and syncs them so that they survive a power cut.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

/// Whether the error says that there is nothing of that name: also below a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
