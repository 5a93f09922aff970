//! Listing of the files of a folder, in the order of their keys.

use std::{
    collections::BinaryHeap,
    ffi::OsString,
    fs::{self, DirEntry},
    io,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::Arc,
    vec,
};

use location::{Location, check_file_key};

use super::{
    error::from_io,
    folder::{Folder, TEMPORARY_PREFIX, describe, invalid_key},
};
use crate::{Error, ErrorKind, NotListed, ObjectMeta};

/// Limit for the names of one folder that are held in memory: about 25 MB. A larger folder is read
/// several times, each time for the next names.
const MAX_NAMES: usize = 1 << 18;

/// Iterator over all files whose key starts with a prefix, in the byte order of the keys, one
/// folder at a time.
///
/// An entry that cannot be listed (a folder without permission, a name that is not UTF-8) is an
/// error of its own, and the listing continues. So is an entry that is left out: a link to a folder, a
/// link that leads nowhere, a file that is not a regular one. Files that are deleted during the listing
/// are left out without an error.
pub(super) struct Listing {
    root: Arc<Folder>,
    /// From the outermost folder to the one being listed.
    open: Vec<Level>,
    max_names: usize,
}

/// One folder of the listing. Names and keys are bytes, because they may not be UTF-8.
struct Level {
    /// Key of the folder with a slash at its end, or empty for the root.
    folder: Vec<u8>,
    /// Only names that begin with these bytes are listed.
    name_prefix: Vec<u8>,
    /// The next names. Those of folders end in a slash, so that names sort in the order of the
    /// keys.
    names: vec::IntoIter<Vec<u8>>,
    /// The last name read, if the folder has more names after it.
    after: Option<Vec<u8>>,
}

impl Level {
    /// Returns a folder of whose names those that follow `after` are listed.
    fn new(folder: &[u8], name_prefix: &[u8], after: &[u8]) -> Self {
        Self {
            folder: folder.into(),
            name_prefix: name_prefix.into(),
            names: Vec::new().into_iter(),
            after: Some(after.into()),
        }
    }
}

impl Listing {
    /// Lists the keys that start with `prefix` and follow `after`; all that start with it if `after` is
    /// empty.
    pub(super) fn new(root: Arc<Folder>, prefix: &str, after: &str) -> Result<Self, Error> {
        let (folder, name_prefix) = prefix.split_at(prefix.rfind('/').map_or(0, |slash| slash + 1));
        if let Some(folder) = folder.strip_suffix('/') {
            check_file_key(folder)
                .map_err(|reason| invalid_key("list", root.uri(prefix), reason))?;
        }
        let mut listing = Self { root, open: Vec::new(), max_names: MAX_NAMES };
        let (folder, name_prefix) = (folder.as_bytes(), name_prefix.as_bytes());
        match after.as_bytes().strip_prefix(folder) {
            Some(after) => listing.open_after(folder, name_prefix, after),
            None if after < prefix => listing.open.push(Level::new(folder, name_prefix, b"")),
            // All keys with the prefix precede `after`.
            None => {}
        }
        Ok(listing)
    }

    /// Opens a folder, and within it the folders that the key `after`, relative to it, lies in.
    fn open_after(&mut self, folder: &[u8], name_prefix: &[u8], after: &[u8]) {
        let slash = after.iter().position(|byte| *byte == b'/');
        let (name, rest) = after.split_at(slash.map_or(after.len(), |slash| slash + 1));
        self.open.push(Level::new(folder, name_prefix, name));
        if slash.is_some() && name.starts_with(name_prefix) {
            self.open_after(&[folder, name].concat(), b"", rest);
        }
    }

    fn path(&self, key: &[u8]) -> PathBuf {
        self.root.root().join(OsString::from_vec(key.to_vec()))
    }

    fn error(&self, key: &[u8], error: io::Error) -> Error {
        from_io("list", &Location::File(self.path(key)).to_string(), error)
    }

    /// Reads the next names of a folder, those after `after`.
    fn refill(&self, level: &mut Level, after: &[u8]) -> io::Result<()> {
        // A max-heap: it drops its largest name when there are too many.
        let mut smallest = BinaryHeap::new();
        let mut more = false;
        for entry in fs::read_dir(self.path(&level.folder))? {
            let Some(name) = listed_name(&entry?) else { continue };
            if name.starts_with(&level.name_prefix) && name.as_slice() > after {
                smallest.push(name);
                if smallest.len() > self.max_names {
                    smallest.pop();
                    more = true;
                }
            }
        }
        let names = smallest.into_sorted_vec();
        level.after = names.last().filter(|_| more).cloned();
        level.names = names.into_iter();
        Ok(())
    }

    /// Returns the error of an entry that is left out.
    fn not_listed(&self, key: &[u8], reason: NotListed) -> Error {
        let message = match reason {
            NotListed::LinkedFolder => "a link to a folder, which is not followed",
            NotListed::BrokenLink => "a link that leads nowhere",
            NotListed::SpecialFile => "neither a file nor a folder",
        };
        let uri = Location::File(self.path(key)).to_string();
        Error::new(ErrorKind::NotListed(reason), "list", uri, message)
    }

    /// Describes a file. Returns `None` if it was deleted meanwhile.
    fn describe(&self, key: Vec<u8>) -> Option<Result<ObjectMeta, Error>> {
        let path = self.path(&key);
        let is_link = || path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                let error = match self.error(&key, error) {
                    error if error.kind == ErrorKind::Denied => error,
                    _ if is_link() => self.not_listed(&key, NotListed::BrokenLink),
                    error if error.kind == ErrorKind::NotFound => return None,
                    error => error,
                };
                return Some(Err(error));
            }
        };
        if metadata.is_dir() {
            // A folder of that name may have replaced a file since its folder was read.
            return is_link().then(|| Err(self.not_listed(&key, NotListed::LinkedFolder)));
        }
        if !metadata.is_file() {
            return Some(Err(self.not_listed(&key, NotListed::SpecialFile)));
        }
        Some(String::from_utf8(key).map(|key| describe(&key, &metadata)).map_err(|error| {
            let uri = Location::File(self.path(error.as_bytes())).to_string();
            Error::new(ErrorKind::Invalid, "list", uri, "the path is not UTF-8: rename it")
        }))
    }
}

impl Iterator for Listing {
    type Item = Result<ObjectMeta, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut level = self.open.pop()?;
            if let Some(name) = level.names.next() {
                let key = [level.folder.as_slice(), &name].concat();
                self.open.push(level);
                if key.ends_with(b"/") {
                    self.open.push(Level::new(&key, b"", b""));
                } else if let Some(item) = self.describe(key) {
                    return Some(item);
                }
            } else if let Some(after) = level.after.take() {
                match self.refill(&mut level, &after) {
                    Ok(()) => self.open.push(level),
                    Err(error) => match self.error(&level.folder, error) {
                        error if error.kind == ErrorKind::NotFound => {}
                        error => return Some(Err(error)),
                    },
                }
            }
        }
    }
}

/// Returns the name of an entry, with a slash at its end for a folder. A link to a folder is listed like
/// a file, and then left out, because links could form a cycle. So are files of other kinds.
fn listed_name(entry: &DirEntry) -> Option<Vec<u8>> {
    let mut name = entry.file_name().into_vec();
    if name.starts_with(TEMPORARY_PREFIX.as_bytes()) {
        return None;
    }
    if entry.file_type().ok()?.is_dir() {
        name.push(b'/');
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn list(dir: &tempfile::TempDir, prefix: &str, max_names: usize) -> Vec<String> {
        list_after(dir, prefix, "", max_names)
    }

    fn list_after(
        dir: &tempfile::TempDir,
        prefix: &str,
        after: &str,
        max_names: usize,
    ) -> Vec<String> {
        let root = Arc::new(Folder::new(dir.path().into()));
        let listing = Listing { max_names, ..Listing::new(root, prefix, after).unwrap() };
        listing.map(|item| item.unwrap().key).collect()
    }

    #[test]
    fn a_listing_goes_on_behind_any_key() {
        let mut files =
            ["B/z", "a-b", "a.b", "a/b.d", "a/b/c", "a/b/d/e", "a/x", "a0", "b", "ab/c", "é"];
        let dir = tree(&files);
        files.sort_unstable();
        let between =
            ["", "A", "a", "a/", "a/b", "a/b/", "a/b/c/d", "a/b/d", "a/zz/y", "c/d", "zz", "ê"];
        for prefix in ["", "a", "a/", "a/b", "a/b/", "b", "none/"] {
            for after in files.iter().copied().chain(between) {
                let expected: Vec<_> =
                    files.iter().filter(|f| f.starts_with(prefix) && **f > after).collect();
                for max_names in [1, 3, 100] {
                    let listed = list_after(&dir, prefix, after, max_names);
                    assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{prefix:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn keys_are_in_byte_order_with_any_limit_of_names() {
        // '-' < '.' < '/' < '0', so the files of `a/` come between `a.b` and `a0`.
        let mut files = vec!["a/x", "a-b", "a.b", "a0", "a/b/c", "a/b.d", "B/z", "é", "b"];
        let dir = tree(&files);
        files.sort_unstable();
        for max_names in [1, 2, 3, 100] {
            assert_eq!(list(&dir, "", max_names), files, "{max_names} names at a time");
        }
    }

    #[test]
    fn a_prefix_may_end_within_a_name() {
        let dir = tree(&["r/a", "r/ab/c", "r/b", "ra", "s"]);
        assert_eq!(list(&dir, "r/a", 9), ["r/a", "r/ab/c"]);
        assert_eq!(list(&dir, "r/", 9), ["r/a", "r/ab/c", "r/b"]);
        assert_eq!(list(&dir, "r", 9), ["r/a", "r/ab/c", "r/b", "ra"]);
        assert!(list(&dir, "s/", 9).is_empty());
        assert!(list(&dir, "none/at/all", 9).is_empty());
    }

    #[test]
    fn only_regular_files_are_listed() {
        let dir = tree(&["d/a", ".scriptorium-half", "d/.scriptorium-half", ".hidden"]);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(name)).unwrap();
        };
        link("d/a", "to-file");
        link("d", "to-folder");
        link(".", "cycle");
        link("nowhere", "dangling");
        link("loop", "loop");
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let root = Arc::new(Folder::new(dir.path().into()));
        let (listed, left_out): (Vec<_>, Vec<_>) =
            Listing::new(root, "", "").unwrap().partition(Result::is_ok);
        let keys: Vec<_> = listed.into_iter().map(|item| item.unwrap().key).collect();
        assert_eq!(keys, [".hidden", "d/a", "to-file"]);
        let left_out: Vec<_> = left_out
            .into_iter()
            .map(|item| item.unwrap_err())
            .map(|error| (error.uri.rsplit('/').next().unwrap().to_owned(), error.kind))
            .collect();
        let expected = [
            ("cycle", NotListed::LinkedFolder),
            ("dangling", NotListed::BrokenLink),
            ("loop", NotListed::BrokenLink),
            ("socket", NotListed::SpecialFile),
            ("to-folder", NotListed::LinkedFolder),
        ];
        let expected = expected.map(|(name, why)| (name.to_owned(), ErrorKind::NotListed(why)));
        assert_eq!(left_out, expected);
    }

    #[test]
    fn a_name_that_is_not_utf8_is_reported_and_the_rest_listed() {
        let dir = tree(&["a", "z"]);
        fs::write(dir.path().join(OsString::from_vec(b"m\xff".to_vec())), "").unwrap();
        let root = Arc::new(Folder::new(dir.path().into()));
        let items: Vec<_> = Listing::new(root, "", "").unwrap().collect();
        assert_eq!(items.len(), 3);
        let error = items[1].as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.uri.ends_with("/m%FF"), "{error}");
    }

    #[test]
    fn a_hostile_prefix_is_refused() {
        let dir = tree(&["a"]);
        for prefix in ["/", "../", "a/../", "a//", "./a"] {
            let root = Arc::new(Folder::new(dir.path().into()));
            let error = Listing::new(root, prefix, "").map(|_| ()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{prefix}");
        }
    }
}
