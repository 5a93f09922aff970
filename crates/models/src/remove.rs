//! Removes a model that was pulled.

use std::fs;
use std::path::Path;

use crate::{Entry, Error, Library, pull};

impl Library {
    /// Deletes the directory of a model of the catalogue, and what an interrupted pull left of it. Returns
    /// the bytes that this frees. Checksums that a pull pinned stay: a later pull must bring the same files.
    /// Waits for a pull of the model that is under way. A process that has the model open keeps it.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::NotPulled`] for a directory in the library that is not of the catalogue;
    /// [`Error::NotInstalled`]; [`Error::Linked`]; [`Error::Io`].
    pub async fn remove(&self, name: &str) -> Result<u64, Error> {
        let entry = match self.catalogue().get(name) {
            Ok(entry) => entry.clone(),
            Err(unknown) => return Err(self.refusal(name, unknown)),
        };
        let root = self.root().to_owned();
        if !root.is_dir() {
            return Err(Error::NotInstalled { name: entry.name });
        }
        let _lock = pull::lock_model(&root, &entry.name).await?;
        pull::blocking(move || remove(&root, &entry)).await
    }

    /// Says why a name that is not of the catalogue is not removed.
    fn refusal(&self, name: &str, unknown: Error) -> Error {
        let path = self.root().join(name);
        // A path outside of the library is no name.
        let is_name = Path::new(name).components().count() == 1 && !name.starts_with('.');
        if is_name && path.is_dir() { Error::NotPulled { path } } else { unknown }
    }
}

fn remove(root: &Path, entry: &Entry) -> Result<u64, Error> {
    let (directory, partial) = (root.join(&entry.name), pull::partial(root));
    let mut freed = 0;
    let staging = partial.join(&entry.name);
    let is_started = staging.is_dir();
    if is_started {
        freed += size(&staging);
        fs::remove_dir_all(&staging).map_err(Error::io(&staging))?;
    }
    match fs::symlink_metadata(&directory) {
        Ok(found) if found.is_symlink() => return Err(Error::Linked { path: directory }),
        Ok(_) => {}
        Err(_) if is_started => return Ok(freed),
        Err(_) => return Err(Error::NotInstalled { name: entry.name.clone() }),
    }
    freed += size(&directory);
    // It disappears in one step, so that nobody opens half of it.
    let removed = partial.join(format!("{}.removed", entry.name));
    let _ = fs::remove_dir_all(&removed);
    fs::rename(&directory, &removed).map_err(Error::io(&directory))?;
    fs::remove_dir_all(&removed).map_err(Error::io(&removed))?;
    Ok(freed)
}

/// Returns the bytes of the files in a directory and in those below it, as far as they can be read.
fn size(directory: &Path) -> u64 {
    let Ok(items) = fs::read_dir(directory) else { return 0 };
    let size = |item: fs::DirEntry| match item.metadata() {
        Ok(found) if found.is_dir() => size(&item.path()),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    items.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{Catalogue, DEFAULT_RECOGNIZER};

    fn library() -> (TempDir, Library) {
        let root = tempdir().unwrap();
        let library = Library::new(root.path().to_owned(), Catalogue::builtin());
        (root, library)
    }

    fn write(path: PathBuf, bytes: usize) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; bytes]).unwrap();
    }

    #[tokio::test]
    async fn removes_a_model_and_what_a_pull_left_of_it() {
        let (root, library) = library();
        let model = root.path().join(DEFAULT_RECOGNIZER);
        write(model.join("model.bin"), 1000);
        write(root.path().join(".partial").join(DEFAULT_RECOGNIZER).join("parts/model.bin"), 100);
        write(root.path().join("fsmn-vad/model.onnx"), 10);
        assert_eq!(library.remove(DEFAULT_RECOGNIZER).await.unwrap(), 1100);
        assert!(!model.exists());
        assert_eq!(size(root.path()), 10, "only the other model is left");
        let error = library.remove(DEFAULT_RECOGNIZER).await.unwrap_err();
        assert!(matches!(error, Error::NotInstalled { .. }), "{error}");
    }

    #[tokio::test]
    async fn removes_nothing_that_no_pull_could_fetch_again() {
        let (root, library) = library();
        let elsewhere = tempdir().unwrap();
        write(elsewhere.path().join("model.bin"), 1);
        write(root.path().join("mine/model.bin"), 1);
        write(root.path().join(".pins/whisper-base.toml"), 1);
        symlink(elsewhere.path(), root.path().join("whisper-tiny")).unwrap();
        let outside = elsewhere.path().to_str().unwrap();
        for (name, expected) in [
            ("mine", "not a model of the catalogue"),
            ("./mine", "no model is named"),
            ("../x", "no model is named"),
            (".pins", "no model is named"),
            (".", "no model is named"),
            ("", "no model is named"),
            (outside, "no model is named"),
            ("whisper-tiny", "a link"),
            ("whisper-base", "not installed"),
        ] {
            let error = library.remove(name).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert_eq!(size(elsewhere.path()) + size(root.path()), 3, "nothing is gone");
    }
}
