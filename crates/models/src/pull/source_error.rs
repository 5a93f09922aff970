//! Why a source did not provide a file.

use std::io;
use std::path::Path;

use crate::Error;

/// Why a source did not provide a file. The texts are for the list of attempts in [`Error::Fetch`].
#[derive(Debug)]
pub(crate) enum SourceError {
    /// The source did not answer: it is not asked for the next files.
    Unreachable(String),
    /// The transfer began and broke off; it can be resumed.
    Interrupted(String),
    /// The source answered that it does not have the file.
    NotFound(String),
    /// The source sent something else than the file.
    Refused(String),
    /// An error of this machine: another source would not help.
    Local(Error),
}

impl SourceError {
    /// Wraps an error of writing `path`, of which `missing` bytes were still to come.
    pub(crate) fn writing(path: &Path, missing: u64) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Local(Error::writing(path, missing)(source))
    }

    /// Wraps any other error of the file system.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Local(Error::io(path)(source))
    }
}
