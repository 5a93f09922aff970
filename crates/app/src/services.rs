//! The model library, the stores and the queue's settings, as the configuration describes them.

use std::sync::Arc;

use ::models::{Catalogue, Entry, Library, Mirrors, ModelDirectory, PullOptions, PullProgress};
use notify::Webhooks;
use queue::AmqpConfig;
use store::{HttpAccess, HttpOptions, Stores};

use crate::{Config, ConfigError, Error, environment};

/// Returns the library of pulled models.
///
/// # Errors
/// [`Error::Config`] if `models.mirrors` is not valid.
pub fn library(config: &Config) -> Result<Library, Error> {
    let pair = |text: &String| {
        let pair = text.split_once('=').ok_or_else(|| {
            ConfigError::new(format!("models.mirrors: `{text}` does not contain `=`"))
        })?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    };
    let mirrors =
        config.models.mirrors.iter().map(pair).collect::<Result<Vec<_>, ConfigError>>()?;
    let mirrors =
        Mirrors::new(mirrors).map_err(|error| ConfigError::caused("models.mirrors", error))?;
    let pull_options = PullOptions { mirrors, ..PullOptions::default() };
    Ok(Library::new(config.models.directory.clone(), Catalogue::builtin())
        .with_pull_options(pull_options))
}

/// Which recordings on web servers are opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Urls {
    /// None.
    #[default]
    Off,
    /// Those that the person names who started the process.
    Own,
    /// Those of jobs, below the prefixes of `worker.sources`.
    OfJobs,
}

/// Opens the stores for a person's own command.
///
/// # Errors
/// [`Error::Config`] if the section `store` is not valid.
pub fn stores(config: &Config) -> Result<Arc<Stores>, Error> {
    stores_with(config, Urls::Own)
}

pub(crate) fn stores_with(config: &Config, urls: Urls) -> Result<Arc<Stores>, Error> {
    let stores = Stores::new(config.store.clone());
    let stores = stores.map_err(|error| ConfigError::caused("store", error))?;
    let access = match urls {
        Urls::Off => HttpAccess::Off,
        Urls::Own => HttpAccess::Own,
        Urls::OfJobs => {
            let patterns = worker::url_patterns(&config.worker.sources);
            HttpAccess::Listed(patterns.map_err(|e| ConfigError::caused("worker.sources", e))?)
        }
    };
    let directory = config.audio.spool_directory.clone();
    let options = HttpOptions {
        access,
        proxies: environment::has_proxy(),
        spool_directory: directory.unwrap_or_else(environment::temporary_directory),
        max_spool_bytes: config.audio.max_spool_bytes.min(config.audio.max_bytes),
    };
    Ok(Arc::new(stores.with_http(options)))
}

/// Returns the section `queue`, validated.
///
/// # Errors
/// [`Error::Config`] if a value of the section is out of range.
pub fn queue_config(config: &Config) -> Result<AmqpConfig, Error> {
    config.queue.validate().map_err(|error| ConfigError::caused("queue", error))?;
    Ok(config.queue.clone())
}

/// Returns what sends webhooks.
///
/// # Errors
/// [`Error::Config`] if the section `notify` is not valid, or there can be no TLS.
pub fn webhooks(config: &Config) -> Result<Webhooks, Error> {
    Ok(Webhooks::new(&config.notify).map_err(|error| ConfigError::caused("notify", error))?)
}

/// An event of a download, for a display of progress.
#[derive(Debug, Clone, Copy)]
pub enum PullEvent<'a> {
    Started(&'a Entry),
    Progress(&'a Entry, PullProgress<'a>),
    /// The download ended, successfully or not.
    Ended,
}

/// Receives the events of downloads.
pub type OnPull<'a> = &'a (dyn Fn(PullEvent<'_>) + Send + Sync);

/// Pulls one model into `library`.
///
/// # Errors
/// [`Error::Models`] with what each source answered.
pub async fn pull(
    library: &Library,
    entry: &Entry,
    on_pull: OnPull<'_>,
) -> Result<ModelDirectory, Error> {
    on_pull(PullEvent::Started(entry));
    let pulled =
        library.pull(entry, &|progress| on_pull(PullEvent::Progress(entry, progress))).await;
    on_pull(PullEvent::Ended);
    let pulled = pulled?;
    for pin in &pulled.pinned {
        tracing::info!(
            model = entry.name,
            file = pin.path,
            sha256 = pin.sha256,
            "pinned: no checksum of this file was known; later pulls must deliver the same content"
        );
    }
    Ok(pulled.model)
}
