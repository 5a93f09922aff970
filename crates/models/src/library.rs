use std::path::{Path, PathBuf};

use crate::{Catalogue, Entry, Error, Family};

/// The directory where pulled models live.
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
    catalogue: Catalogue,
}

/// A model on disk whose files are there (and, for models of the catalogue, are the right ones).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDirectory {
    /// Name in the catalogue, or the directory's name.
    pub name: String,
    pub family: Family,
    pub path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
pub struct PullProgress<'a> {
    pub file: &'a str,
    pub done: u64,
    pub total: u64,
}

impl Library {
    pub fn new(root: PathBuf, catalogue: Catalogue) -> Self {
        Self { root, catalogue }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Opens a model by catalogue name or by the path of a model directory.
    pub fn open(&self, _name_or_path: &str) -> Result<ModelDirectory, Error> {
        unimplemented!()
    }

    /// Fetches what is missing, resuming what was begun; the model appears whole or not at all.
    pub async fn pull(
        &self,
        _entry: &Entry,
        _progress: &(dyn Fn(PullProgress<'_>) + Send + Sync),
    ) -> Result<ModelDirectory, Error> {
        unimplemented!()
    }

    /// Checks every file's size and SHA-256.
    pub fn verify(&self, _entry: &Entry) -> Result<(), Error> {
        unimplemented!()
    }
}
