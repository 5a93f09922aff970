//! Errors of this crate.

use std::{
    io,
    path::{Path, PathBuf},
};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a network cannot be built or run. Each variant names what failed, its source says why.
/// Trying again does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing or cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file is damaged, is not an ONNX model, or holds something that this engine cannot run.
    #[error("{}: is not a usable ONNX model", path.display())]
    Model { path: PathBuf, source: Source },
    /// The parts of a graph do not fit together: a shape or name is wrong.
    #[error("the graph is invalid")]
    Graph(#[source] Source),
    /// The inputs of a run do not fit the network.
    #[error("the inputs do not fit the network")]
    Input(#[source] Source),
    /// An operator failed.
    #[error("running the network failed")]
    Run(#[source] Source),
}

impl Error {
    pub(crate) fn model(path: &Path, source: impl Into<Source>) -> Self {
        Self::Model { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn graph(source: impl Into<Source>) -> Self {
        Self::Graph(source.into())
    }

    pub(crate) fn input(source: impl Into<Source>) -> Self {
        Self::Input(source.into())
    }

    pub(crate) fn run(source: impl Into<Source>) -> Self {
        Self::Run(source.into())
    }
}
