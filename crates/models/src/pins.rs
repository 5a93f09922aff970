//! Checksums that the catalogue does not know, written down at the first pull.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Entry, Error};

const HEAD: &str = "\
# What the first pull of this model brought, where the catalogue knows no checksum. `models verify`
# and later pulls hold to it. If the publisher has changed a file and the new one is wanted, delete
# this file and pull again.
";

/// One file as the first pull brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Name inside the model's directory.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub source: String,
}

/// The pins of one model.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "file", default)]
    files: Vec<Pin>,
}

/// The pins of a library's models: a file each, outside of their directories, so that they outlive
/// a model that is deleted and pulled again.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    path: PathBuf,
}

impl Pins {
    /// Of this model in the library at `root`.
    pub(crate) fn of(root: &Path, entry: &Entry) -> Self {
        Self { path: root.join(".pins").join(format!("{}.toml", entry.name)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Vec<Pin>, Error> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&self.path)(error)),
        };
        let document: Document = toml::from_str(&text).map_err(|error| Error::Damaged {
            path: self.path.clone(),
            message: format!("not a file of pinned checksums: {error}; mend or delete it"),
        })?;
        Ok(document.files)
    }

    /// Adds a pin. Whole or not at all: a torn file would let the next pull believe anything.
    pub(crate) fn add(&self, pin: Pin) -> Result<(), Error> {
        let mut files = self.read()?;
        files.retain(|other| other.path != pin.path);
        files.push(pin);
        let text = toml::to_string(&Document { files })
            .map_err(|error| Error::io(&self.path)(std::io::Error::other(error)))?;
        let directory = self.path.parent().unwrap_or(&self.path);
        let write = || {
            fs::create_dir_all(directory)?;
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(Error::io(&self.path))
    }

    /// The entry, with what is pinned in the place of what the catalogue does not know.
    pub(crate) fn fill(&self, entry: &Entry) -> Result<Entry, Error> {
        let mut entry = entry.clone();
        if entry.files.iter().all(|file| file.sha256.is_some() && file.size.is_some()) {
            return Ok(entry);
        }
        for pin in self.read()? {
            // What the catalogue knows (after an update) goes before what was once pulled.
            if let Some(file) = entry.files.iter_mut().find(|file| file.path == pin.path)
                && file.sha256.as_ref().is_none_or(|sha256| *sha256 == pin.sha256)
            {
                file.size.get_or_insert(pin.size);
                file.sha256.get_or_insert(pin.sha256);
            }
        }
        Ok(entry)
    }
}
