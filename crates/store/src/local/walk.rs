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
    folder::{Folder, OWN, describe},
};
use crate::{Error, Kind, ObjectMeta};

/// How many names of one folder are held at once, about 25 MB of them. A larger folder is read
/// several times, each time for the next names.
const NAMES: usize = 1 << 18;

/// All files whose key starts with a prefix, in the byte order of the keys, one folder at a time.
///
/// What cannot be listed (a folder without permission, a name that is not UTF-8) is an item of its
/// own, and the walk goes on. What vanishes meanwhile is left out.
pub(super) struct Walk {
    root: Arc<Folder>,
    /// From the outermost folder to the one being listed.
    open: Vec<Level>,
    names: usize,
}

struct Level {
    /// The key of the folder with its slash, or empty for the root. In bytes, because names may be
    /// other than UTF-8, as below.
    folder: Vec<u8>,
    /// Only names that begin so.
    beginning: Vec<u8>,
    /// Names at hand, a folder's with a slash at its end: so they sort as the keys do.
    names: vec::IntoIter<Vec<u8>>,
    /// When `names` are used up, the folder has more after this one.
    after: Option<Vec<u8>>,
}

impl Level {
    fn new(folder: Vec<u8>, beginning: Vec<u8>) -> Self {
        Self { folder, beginning, names: Vec::new().into_iter(), after: Some(Vec::new()) }
    }
}

impl Walk {
    pub(super) fn new(root: Arc<Folder>, prefix: &str) -> Result<Self, Error> {
        let (folder, beginning) = prefix.split_at(prefix.rfind('/').map_or(0, |slash| slash + 1));
        if let Some(folder) = folder.strip_suffix('/') {
            check_file_key(folder).map_err(|why| {
                Error::new(Kind::Invalid, "list", root.uri(prefix), why.to_string())
            })?;
        }
        let first = Level::new(folder.into(), beginning.into());
        Ok(Self { root, open: vec![first], names: NAMES })
    }

    fn path(&self, key: &[u8]) -> PathBuf {
        self.root.root().join(OsString::from_vec(key.to_vec()))
    }

    fn error(&self, key: &[u8], error: &io::Error) -> Error {
        from_io("list", &Location::File(self.path(key)).to_string(), error)
    }

    /// The next names of a folder.
    fn refill(&self, level: &mut Level, after: &[u8]) -> io::Result<()> {
        // The largest name on top: the one to give up for a smaller one.
        let mut smallest = BinaryHeap::new();
        let mut more = false;
        for entry in fs::read_dir(self.path(&level.folder))? {
            let Some(name) = listed_name(&entry?) else { continue };
            if name.starts_with(&level.beginning) && name.as_slice() > after {
                smallest.push(name);
                if smallest.len() > self.names {
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

    /// A file as it is now; nothing if it went meanwhile, or is no file.
    fn describe(&self, key: Vec<u8>) -> Option<Result<ObjectMeta, Error>> {
        let metadata = match fs::metadata(self.path(&key)) {
            Ok(metadata) => metadata,
            Err(error) => {
                let error = self.error(&key, &error);
                return (error.kind != Kind::NotFound).then_some(Err(error));
            }
        };
        if !metadata.is_file() {
            return None;
        }
        Some(String::from_utf8(key).map(|key| describe(&key, &metadata)).map_err(|error| {
            let uri = Location::File(self.path(error.as_bytes())).to_string();
            Error::new(Kind::Invalid, "list", uri, "the path is not UTF-8: rename it")
        }))
    }
}

impl Iterator for Walk {
    type Item = Result<ObjectMeta, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut level = self.open.pop()?;
            if let Some(name) = level.names.next() {
                let key = [level.folder.as_slice(), &name].concat();
                self.open.push(level);
                if key.ends_with(b"/") {
                    self.open.push(Level::new(key, Vec::new()));
                } else if let Some(item) = self.describe(key) {
                    return Some(item);
                }
            } else if let Some(after) = level.after.take() {
                match self.refill(&mut level, &after) {
                    Ok(()) => self.open.push(level),
                    Err(error) => match self.error(&level.folder, &error) {
                        error if error.kind == Kind::NotFound => {}
                        error => return Some(Err(error)),
                    },
                }
            }
        }
    }
}

/// The name of what may be listed, with a slash for a folder. Links are followed to files only: a
/// link to a folder could lead round in a circle.
fn listed_name(entry: &DirEntry) -> Option<Vec<u8>> {
    let mut name = entry.file_name().into_vec();
    if name.starts_with(OWN.as_bytes()) {
        return None;
    }
    let kind = entry.file_type().ok()?;
    if kind.is_dir() {
        name.push(b'/');
        return Some(name);
    }
    (kind.is_file() || kind.is_symlink() && entry.path().is_file()).then_some(name)
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

    fn walk(dir: &tempfile::TempDir, prefix: &str, names: usize) -> Vec<String> {
        let root = Arc::new(Folder::new(dir.path().into()));
        let walk = Walk { names, ..Walk::new(root, prefix).unwrap() };
        walk.map(|item| item.unwrap().key).collect()
    }

    #[test]
    fn keys_come_in_byte_order_however_few_names_are_held() {
        // '-' < '.' < '/' < '0': a folder's content lies between its neighbours by the slash.
        let mut files = vec!["a/x", "a-b", "a.b", "a0", "a/b/c", "a/b.d", "B/z", "é", "b"];
        let dir = tree(&files);
        files.sort_unstable();
        for names in [1, 2, 3, 100] {
            assert_eq!(walk(&dir, "", names), files, "{names} names at once");
        }
    }

    #[test]
    fn a_prefix_is_text_and_not_a_folder() {
        let dir = tree(&["r/a", "r/ab/c", "r/b", "ra", "s"]);
        assert_eq!(walk(&dir, "r/a", 9), ["r/a", "r/ab/c"]);
        assert_eq!(walk(&dir, "r/", 9), ["r/a", "r/ab/c", "r/b"]);
        assert_eq!(walk(&dir, "r", 9), ["r/a", "r/ab/c", "r/b", "ra"]);
        assert!(walk(&dir, "s/", 9).is_empty());
        assert!(walk(&dir, "none/at/all", 9).is_empty());
    }

    #[test]
    fn what_is_no_file_is_left_out() {
        let dir = tree(&["d/a", ".scriptorium-half", "d/.scriptorium-half", ".hidden"]);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(name)).unwrap();
        };
        link("d/a", "to-file");
        link("d", "to-folder");
        link(".", "round");
        link("nowhere", "dangling");
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert_eq!(walk(&dir, "", 9), [".hidden", "d/a", "to-file"]);
    }

    #[test]
    fn a_name_that_is_not_utf8_is_reported_and_the_rest_listed() {
        let dir = tree(&["a", "z"]);
        fs::write(dir.path().join(OsString::from_vec(b"m\xff".to_vec())), "").unwrap();
        let root = Arc::new(Folder::new(dir.path().into()));
        let items: Vec<_> = Walk::new(root, "").unwrap().collect();
        assert_eq!(items.len(), 3);
        let error = items[1].as_ref().unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.uri.ends_with("/m%FF"), "{error}");
    }

    #[test]
    fn a_hostile_prefix_is_refused() {
        let dir = tree(&["a"]);
        for prefix in ["/", "../", "a/../", "a//", "./a"] {
            let root = Arc::new(Folder::new(dir.path().into()));
            let error = Walk::new(root, prefix).map(|_| ()).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{prefix}");
        }
    }
}
