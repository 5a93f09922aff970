use std::path::{Path, PathBuf};

/// None of these goes away by trying again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, broken, or holds something this engine cannot run.
    #[error("{}: {message}", path.display())]
    Model { path: PathBuf, message: String },
    /// A graph that does not fit together: a shape or name is wrong.
    #[error("graph: {0}")]
    Graph(String),
    /// What was given to `run` is not what the graph takes.
    #[error("input: {0}")]
    Input(String),
    /// An operator failed.
    #[error("running: {0}")]
    Run(String),
}

impl Error {
    pub(crate) fn model(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::Model { path: path.to_owned(), message: format!("{error:#}") }
    }
}
