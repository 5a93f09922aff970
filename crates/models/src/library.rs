use std::path::{Path, PathBuf};

use crate::digest::{check_file, check_size};
use crate::pins::{Pin, Pins};
use crate::{
    Catalogue, Entry, Error, FileEntry, ModelDirectory, PullProgress, PullSettings, Pulled, pull,
};

/// The directory where pulled models live, one directory per model.
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
    catalogue: Catalogue,
    settings: PullSettings,
}

impl Library {
    /// `root` need not exist yet: the first pull makes it.
    pub fn new(root: PathBuf, catalogue: Catalogue) -> Self {
        Self { root, catalogue, settings: PullSettings::default() }
    }

    #[must_use]
    pub fn with_settings(self, settings: PullSettings) -> Self {
        Self { settings, ..self }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Where this model is, or would be after a pull.
    pub fn directory(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.name)
    }

    /// Opens a model by its name in the catalogue, by the name of a directory in the library, or by
    /// the path of a model directory; `./name` is always a path. It looks at names and sizes only:
    /// [`Library::verify`] reads the files.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::NotInstalled`], [`Error::Damaged`] that names the first file
    /// that is missing or has the wrong size, [`Error::NotAModel`].
    pub fn open(&self, name_or_path: &str) -> Result<ModelDirectory, Error> {
        let is_name = !name_or_path.is_empty()
            && !name_or_path.starts_with('.')
            && !name_or_path.contains(std::path::is_separator);
        let path = Path::new(name_or_path);
        if !is_name {
            return ModelDirectory::recognize(path);
        }
        match self.catalogue.get(name_or_path) {
            Ok(entry) => {
                self.check(entry, check_size)?;
                self.opened(entry)
            }
            Err(_) if self.root.join(path).is_dir() => {
                ModelDirectory::recognize(&self.root.join(path))
            }
            Err(_) if path.exists() => ModelDirectory::recognize(path),
            Err(unknown) => Err(unknown),
        }
    }

    /// Fetches what is missing, resuming what was begun; the model appears whole or not at all.
    /// What is there and right is left alone. Several processes may pull at once: one does, the
    /// others wait for it. `progress` is called after every piece of every file. Files whose checksum
    /// the catalogue does not know are pinned to what the first pull brings.
    ///
    /// # Errors
    /// [`Error::Fetch`] when no source has a file, with what each of them said;
    /// [`Error::DiskFull`]; [`Error::Io`] for the library's own directory.
    pub async fn pull(
        &self,
        entry: &Entry,
        progress: &(dyn Fn(PullProgress<'_>) + Send + Sync),
    ) -> Result<Pulled, Error> {
        let pinned = pull::pull(self, entry, progress).await.map_err(|error| match error {
            Error::Fetch { file, mut attempts, directory, may_pass: false } => {
                // It may not be the source's fault, but an old pin's.
                attempts.extend(self.pin_note(entry, &file));
                Error::Fetch { file, attempts, directory, may_pass: false }
            }
            other => other,
        })?;
        Ok(Pulled { model: self.opened(entry)?, pinned })
    }

    /// What earlier pulls have written down of files whose checksum the catalogue does not know.
    ///
    /// # Errors
    /// [`Error::Damaged`] where that record is not readable; [`Error::Io`].
    pub fn pins(&self, entry: &Entry) -> Result<Vec<Pin>, Error> {
        Pins::of(&self.root, entry).read()
    }

    /// Checks every file's size and SHA-256 (it reads them all).
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; [`Error::Damaged`] with the first wrong file, what was expected and
    /// what was found; [`Error::Unverifiable`] where nobody knows what to expect.
    pub fn verify(&self, entry: &Entry) -> Result<(), Error> {
        self.check(entry, |path, file| match &file.sha256 {
            None if path.is_file() => {
                Err(Error::Unverifiable { name: entry.name.clone(), path: path.to_owned() })
            }
            _ => check_file(path, file),
        })
    }

    pub(crate) fn settings(&self) -> &PullSettings {
        &self.settings
    }

    fn check(
        &self,
        entry: &Entry,
        check: impl Fn(&Path, &FileEntry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let directory = self.directory(entry);
        if !directory.is_dir() {
            return Err(Error::NotInstalled { name: entry.name.clone() });
        }
        let entry = Pins::of(&self.root, entry).fill(entry)?;
        let skipped = |file: &FileEntry| file.optional && !directory.join(&file.path).exists();
        for file in entry.files.iter().filter(|file| !skipped(file)) {
            check(&directory.join(&file.path), file).map_err(|error| match error {
                Error::Damaged { path, message } => {
                    let repair = format!("`scriptorium models pull {}` repairs it", entry.name);
                    Error::Damaged { path, message: format!("{message}; {repair}") }
                }
                other => other,
            })?;
        }
        Ok(())
    }

    fn pin_note(&self, entry: &Entry, file: &str) -> Option<String> {
        let pins = Pins::of(&self.root, entry);
        let is_pinned = pins.read().ok()?.iter().any(|pin| pin.path == file);
        is_pinned.then(|| {
            format!(
                "an earlier pull pinned {file} ({}): if its publisher has changed it and you want \
                 the new one, delete that record and pull again",
                pins.path().display()
            )
        })
    }

    fn opened(&self, entry: &Entry) -> Result<ModelDirectory, Error> {
        let directory = self.directory(entry);
        let path = directory.canonicalize().map_err(Error::io(&directory))?;
        Ok(ModelDirectory { name: entry.name.clone(), family: entry.family, path })
    }
}
