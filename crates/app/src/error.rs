//! Errors of loading the configuration and of building the application.

use std::{error::Error as StdError, io};

/// Why the application cannot be configured or built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Models(#[from] ::models::Error),
    #[error(transparent)]
    Recognizer(#[from] speech::recognizer::Error),
    /// `context` names the setting where one is involved.
    #[error("{context}")]
    Threads { context: &'static str, source: io::Error },
    #[error("loading the models panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Error {
    /// Returns whether the user can correct the error in the configuration or on the command line.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

/// A configuration that cannot be used. The message names the key, and its origin where that is
/// known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Adds `context`, a key or a file, to the error `source`.
    pub(crate) fn caused(
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { message: context.into(), source: Some(source.into()) }
    }
}
