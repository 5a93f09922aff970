//! Checksums that the catalogue does not have, recorded by the first pull.
//!
//! As in package managers, such a checksum is *pinned*: later pulls and verifications require it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Entry, Error};

const HEAD: &str = "\
# Checksums of the files that the first pull of this model fetched, where the catalogue has none.
# `models verify` and later pulls require them. If the publisher has changed a file and you want the
# new one, delete this file and pull again.
";

/// Checksum of one file, as the first pull fetched it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Name in the model's directory.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Where the file came from.
    pub source: String,
}

/// Content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "file", default)]
    files: Vec<Pin>,
}

/// The file with the pins of one model. It is not in the model's directory, so that it outlives a
/// model that is deleted and pulled again.
#[derive(Debug, Clone)]
pub(crate) struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// Returns the file of this model in the library at `root`. It need not exist.
    pub(crate) fn of(root: &Path, entry: &Entry) -> Self {
        Self { path: root.join(".pins").join(format!("{}.toml", entry.name)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all pins; none if there is no file.
    pub(crate) fn read(&self) -> Result<Vec<Pin>, Error> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&self.path)(error)),
        };
        let document: Document = toml::from_str(&text)
            .map_err(|error| Error::Pins { path: self.path.clone(), source: Box::new(error) })?;
        Ok(document.files)
    }

    /// Adds a pin. Replaces the file atomically: after a torn write, the next pull would accept any
    /// file.
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

    /// Returns the entry with pinned sizes and checksums where the catalogue has none.
    pub(crate) fn fill(&self, entry: &Entry) -> Result<Entry, Error> {
        let mut entry = entry.clone();
        if entry.files.iter().all(|file| file.sha256.is_some() && file.size.is_some()) {
            return Ok(entry);
        }
        for pin in self.read()? {
            // After an update, the checksum of the catalogue takes precedence over an older pin.
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
