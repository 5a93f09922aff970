//! A model directory that can be opened.

use std::path::{Path, PathBuf};

use crate::{Error, Family, inspect};

/// A model on disk whose files exist. For models of the catalogue their sizes are right too;
/// [`crate::Library::verify`] compares the checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDirectory {
    /// Name in the catalogue, or the directory's name.
    pub name: String,
    pub family: Family,
    /// Absolute.
    pub path: PathBuf,
}

impl ModelDirectory {
    /// Recognizes the model in a directory, as [`inspect`] does. Accepts it only without problems.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first problem, its file and its remedy, if the family is clear but
    /// files are missing or do not fit one another; [`Error::NotAModel`] if no family is recognized.
    pub fn recognize(path: &Path) -> Result<Self, Error> {
        let found = inspect(path)?;
        if let Some(problem) = found.problems.into_iter().next() {
            let message =
                format!("{} (a {} model): {}", problem.message, found.family, problem.remedy);
            return Err(Error::Damaged { path: found.path.join(problem.file), message });
        }
        Ok(Self { name: found.name, family: found.family, path: found.path })
    }
}
