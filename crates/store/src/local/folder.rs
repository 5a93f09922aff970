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

use super::{error::from_io, uri};
use crate::{Condition, Error, Kind, ObjectMeta};

/// Names of this crate's own files begin so, and are not listed.
pub(super) const OWN: &str = ".scriptorium-";

/// The blocking half of [`LocalStore`](super::LocalStore).
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
        let at = self.at("head", key)?;
        let metadata = at.metadata()?;
        Ok(describe(key, &metadata))
    }

    pub(super) fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let at = self.at("read", key)?;
        let (mut file, metadata) = at.open()?;
        let end = range.end.min(metadata.len());
        let mut body = Vec::new();
        if etag_of(&metadata) == etag && range.start < end {
            body.reserve_exact(usize::try_from(end - range.start).unwrap_or(0));
            at.io(file.seek(SeekFrom::Start(range.start)))?;
            at.io((&file).take(end - range.start).read_to_end(&mut body))?;
        }
        // The file may also have changed while it was read.
        if etag_of(&at.io(file.metadata())?) != etag {
            return Err(at.error(Kind::Changed, "the file changed since it was opened"));
        }
        Ok(body.into())
    }

    pub(super) fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let at = self.at("get", key)?;
        let (file, metadata) = at.open()?;
        if metadata.len() > limit {
            let why = format!("{} bytes, more than the {limit} expected here", metadata.len());
            return Err(at.error(Kind::TooLarge, why));
        }
        let mut body = Vec::new();
        at.io((&file).take(limit).read_to_end(&mut body))?;
        let meta = describe(key, &metadata);
        if etag_of(&at.io(file.metadata())?) != meta.etag {
            return Err(at.error(Kind::Changed, "the file changed while it was read"));
        }
        Ok((meta, body.into()))
    }

    pub(super) fn put(&self, key: &str, body: &[u8], when: &Condition) -> Result<String, Error> {
        let at = self.at("put", key)?;
        let parent = at.path.parent().unwrap_or(&self.root);
        create_folders(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                at.error(Kind::Invalid, "a file stands where the key needs a folder")
            }
            _ => from_io(at.operation, &at.uri, &error),
        })?;
        if at.path.is_dir() {
            return Err(at.error(Kind::Invalid, "a folder stands where the key needs a file"));
        }

        // Dropped on any way out, the temporary file is removed.
        let mut temporary = at.io(tempfile::Builder::new()
            .prefix(OWN)
            .permissions(Permissions::from_mode(0o666)) // less the umask, as for any new file
            .tempfile_in(parent))?;
        at.io(temporary.write_all(body))?;
        at.io(temporary.as_file().sync_all())?;
        let etag = etag_of(&at.io(temporary.as_file().metadata())?);

        match when {
            Condition::Always => at.io(temporary.persist(&at.path).map_err(|e| e.error))?,
            Condition::IfAbsent => {
                at.io(temporary.persist_noclobber(&at.path).map_err(|e| e.error))?
            }
            Condition::IfMatch(expected) => {
                let _lock = at.lock_if(expected)?;
                at.io(temporary.persist(&at.path).map_err(|e| e.error))?
            }
        };
        at.io(sync_folder(parent))?;
        Ok(etag)
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), Error> {
        let at = self.at("delete", key)?;
        match fs::remove_file(&at.path) {
            Ok(()) => Ok(()),
            Err(_) if at.path.is_dir() => Ok(()),
            Err(error) => match from_io(at.operation, &at.uri, &error) {
                error if error.kind == Kind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    fn at(&self, operation: &'static str, key: &str) -> Result<At, Error> {
        let uri = self.uri(key);
        match check_file_key(key) {
            Ok(()) => Ok(At { operation, path: self.root.join(key), uri }),
            Err(why) => Err(Error::new(Kind::Invalid, operation, uri, why.to_string())),
        }
    }
}

/// One operation on one file.
struct At {
    operation: &'static str,
    path: PathBuf,
    uri: String,
}

impl At {
    fn error(&self, kind: Kind, message: impl Into<String>) -> Error {
        Error::new(kind, self.operation, &self.uri, message)
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| from_io(self.operation, &self.uri, &error))
    }

    fn metadata(&self) -> Result<Metadata, Error> {
        let metadata = self.io(fs::metadata(&self.path))?;
        if metadata.is_dir() {
            return Err(self.error(Kind::NotFound, "a folder, not a file"));
        }
        if !metadata.is_file() {
            return Err(self.error(Kind::Invalid, "not a regular file"));
        }
        Ok(metadata)
    }

    /// Looks before opening: to open a pipe would wait for its writer.
    fn open(&self) -> Result<(File, Metadata), Error> {
        self.metadata()?;
        let file = self.io(File::open(&self.path))?;
        let metadata = self.io(file.metadata())?;
        Ok((file, metadata))
    }

    /// Holds other conditional writers off while the file has this ETag.
    fn lock_if(&self, etag: &str) -> Result<File, Error> {
        let differs = || self.error(Kind::Precondition, "another file stands there now");
        loop {
            let locked = match self.open() {
                Ok((file, _)) => file,
                Err(error) if error.kind == Kind::NotFound => return Err(differs()),
                Err(error) => return Err(error),
            };
            self.io(locked.lock())?;
            let standing = match fs::metadata(&self.path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(differs()),
                Err(error) => return self.io(Err(error)),
            };
            if etag_of(&standing) != etag {
                return Err(differs());
            }
            // Else the file was replaced while we waited, and the lock is on the one that is gone.
            if standing.ino() == self.io(locked.metadata())?.ino() {
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
        metadata: BTreeMap::new(),
    }
}

fn etag_of(metadata: &Metadata) -> String {
    let nanoseconds =
        i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("{:x}-{nanoseconds:x}-{:x}", metadata.len(), metadata.ino())
}

/// Creates what is missing, so that it survives a power cut.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
