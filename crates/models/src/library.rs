//! The directory of the models that were pulled.

use std::path::{Path, PathBuf};

use crate::digest::{check_file, check_size};
use crate::pins::{Pin, PinFile};
use crate::{
    Catalogue, Entry, Error, FileEntry, ModelDirectory, PullOptions, PullProgress, Pulled, convert,
    pull,
};

/// The directory that holds pulled models, one directory per model.
///
/// ```no_run
/// use models::{Catalogue, DEFAULT_VAD, Error, Library};
///
/// # async fn example() -> Result<(), Error> {
/// let library = Library::new("/var/lib/scriptorium/models".into(), Catalogue::builtin());
/// let model = match library.open(DEFAULT_VAD) {
///     Err(Error::NotInstalled { name }) => {
///         let entry = library.catalogue().get(&name)?;
///         library.pull(entry, &|progress| println!("{}", progress.file)).await?.model
///     }
///     opened => opened?,
/// };
/// println!("{} is in {}", model.name, model.path.display());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
    catalogue: Catalogue,
    pull_options: PullOptions,
}

impl Library {
    /// Creates a library. The directory `root` need not exist: the first pull creates it.
    pub fn new(root: PathBuf, catalogue: Catalogue) -> Self {
        Self { root, catalogue, pull_options: PullOptions::default() }
    }

    #[must_use]
    pub fn with_pull_options(self, pull_options: PullOptions) -> Self {
        Self { pull_options, ..self }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Returns the directory of a model, which exists after a pull.
    pub fn directory(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.name)
    }

    /// Opens a model by its name in the catalogue, by the name of a directory in the library, or by
    /// the path of a model directory; `./name` is always a path. Looks at names and sizes only:
    /// [`Library::verify`] reads the files. Never writes: the library may be read-only.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::NotInstalled`]; [`Error::NotConverted`] if an earlier version
    /// pulled the model; [`Error::Damaged`] with the first file that is missing or has the wrong
    /// size; [`Error::NotAModel`].
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
                self.check(entry, check_size, |_, _| Ok(()))?;
                self.opened(entry)
            }
            Err(_) if self.root.join(path).is_dir() => {
                ModelDirectory::recognize(&self.root.join(path))
            }
            Err(_) if path.exists() => ModelDirectory::recognize(path),
            Err(unknown) => Err(unknown),
        }
    }

    /// Fetches the missing and wrong files of a model, resuming earlier transfers, and converts a
    /// PyTorch checkpoint to ONNX. Files that are right are not fetched again. The model's directory
    /// appears complete or not at all. Several processes may pull the same model: one fetches it, the
    /// others wait. `progress` is called for each piece of each file. Files whose checksum the
    /// catalogue does not have are pinned by the first pull.
    ///
    /// # Errors
    /// [`Error::Fetch`] if no source has a file, with one line per source; [`Error::DiskFull`];
    /// [`Error::Convert`]; [`Error::Io`] for the library's own directory.
    pub async fn pull(
        &self,
        entry: &Entry,
        progress: &(dyn Fn(PullProgress<'_>) + Send + Sync),
    ) -> Result<Pulled, Error> {
        let pulled = pull::pull(&self.root, &self.pull_options, entry, progress).await;
        let pinned = pulled.map_err(|error| match error {
            Error::Fetch { file, mut attempts, directory, is_transient: false } => {
                // The cause may be an old pin and not the source.
                attempts.extend(self.pin_note(entry, &file));
                Error::Fetch { file, attempts, directory, is_transient: false }
            }
            other => other,
        })?;
        Ok(Pulled { model: self.opened(entry)?, pinned })
    }

    /// Returns the checksums that earlier pulls pinned because the catalogue does not have them.
    ///
    /// # Errors
    /// [`Error::Pins`] if the file of pins cannot be parsed; [`Error::Io`].
    pub fn pins(&self, entry: &Entry) -> Result<Vec<Pin>, Error> {
        PinFile::of(&self.root, entry).read()
    }

    /// Checks the size and the SHA-256 of each file; reads them all. A converted file must be what the
    /// checkpoint converts to.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; [`Error::NotConverted`]; [`Error::Damaged`] with the first wrong file,
    /// the expected and the actual value; [`Error::Unverifiable`] if the checksum of a file is
    /// unknown.
    pub fn verify(&self, entry: &Entry) -> Result<(), Error> {
        let check_file = |path: &Path, file: &FileEntry| match &file.sha256 {
            None if path.is_file() => {
                Err(Error::Unverifiable { name: entry.name.clone(), path: path.to_owned() })
            }
            _ => check_file(path, file),
        };
        self.check(entry, check_file, |checkpoint, converted| {
            let bytes = std::fs::read(converted).map_err(Error::io(converted))?;
            if bytes != convert::to_onnx(checkpoint)?.onnx {
                let message = format!("not what {} converts to", checkpoint.display());
                return Err(Error::Damaged { path: converted.to_owned(), message });
            }
            Ok(())
        })
    }

    /// Checks each file of a model, and each converted file with its checkpoint.
    fn check(
        &self,
        entry: &Entry,
        check_file: impl Fn(&Path, &FileEntry) -> Result<(), Error>,
        check_converted: impl Fn(&Path, &Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let directory = self.directory(entry);
        if !directory.is_dir() {
            return Err(Error::NotInstalled { name: entry.name.clone() });
        }
        let with_remedy = |error: Error| match error {
            Error::Damaged { path, message } => {
                let repair = format!("`scriptorium models pull {}` repairs it", entry.name);
                Error::Damaged { path, message: format!("{message}; {repair}") }
            }
            other => other,
        };
        let entry = PinFile::of(&self.root, entry).fill(entry)?;
        for file in &entry.files {
            let path = directory.join(&file.path);
            if file.optional && !path.exists() {
                continue;
            }
            check_file(&path, file).map_err(with_remedy)?;
            if let Some(name) = convert::converted_name(entry.family, file) {
                let converted = directory.join(name);
                if !converted.is_file() {
                    return Err(Error::NotConverted { name: entry.name, path: converted });
                }
                check_converted(&path, &converted).map_err(with_remedy)?;
            }
        }
        Ok(())
    }

    /// Returns a hint to an old pin, if the file has one.
    fn pin_note(&self, entry: &Entry, file: &str) -> Option<String> {
        let pins = PinFile::of(&self.root, entry);
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
