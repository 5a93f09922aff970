//! Puts the rooms together as the configuration says.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use models::{Catalogue, Library, Mirrors, ModelDirectory, PullOptions};
use store::{Location, Stores};
use tokio_util::sync::CancellationToken;

use crate::{UsageError, config::Config};

pub(crate) fn library(config: &Config) -> anyhow::Result<Library> {
    let wrong = |error: String| UsageError(format!("models.mirrors: {error}"));
    let pair = |text: &String| {
        let pair = text.split_once('=').ok_or_else(|| wrong(format!("`{text}` has no `=`")))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    };
    let mirrors = config.models.mirrors.iter().map(pair).collect::<Result<Vec<_>, UsageError>>()?;
    let mirrors = Mirrors::new(mirrors).map_err(wrong)?;
    let pull_options = PullOptions { mirrors, ..PullOptions::default() };
    Ok(Library::new(config.models.directory.clone(), Catalogue::builtin())
        .with_pull_options(pull_options))
}

pub(crate) fn stores(config: &Config) -> anyhow::Result<Arc<Stores>> {
    let stores = Stores::new(config.store.clone());
    Ok(Arc::new(stores.map_err(|error| UsageError(format!("store: {error}")))?))
}

/// How to reach the queue, with values that make sense.
pub(crate) fn queue(config: &Config) -> Result<queue::AmqpConfig, UsageError> {
    config.queue.validate().map_err(|error| UsageError(format!("queue: {error}")))?;
    Ok(config.queue.clone())
}

/// Pulls one model with a progress bar.
pub(crate) async fn pull(
    library: &Library,
    entry: &models::Entry,
) -> anyhow::Result<ModelDirectory> {
    let bar = ProgressBar::new(entry.size().unwrap_or(0)).with_style(ProgressStyle::with_template(
        "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
    )?);
    bar.set_message(format!("fetching {}", entry.name));
    let pulled = library
        .pull(entry, &|progress| {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
            bar.set_message(format!("fetching {} {}", entry.name, progress.file));
        })
        .await;
    bar.finish_and_clear();
    let pulled = pulled?;
    for pin in &pulled.pinned {
        tracing::info!(
            model = entry.name,
            file = pin.path,
            sha256 = pin.sha256,
            "pinned: nobody had a checksum of this file; from now on it must be as it came"
        );
    }
    Ok(pulled.model)
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process at once.
pub(crate) fn termination() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                cancelled.cancel();
            } else {
                std::process::exit(i32::from(crate::exit::INTERRUPTED));
            }
        }
    });
    Ok(token)
}

/// Parses `--out`: always a prefix, written as one or not.
pub(crate) fn output_prefix(text: &str) -> anyhow::Result<Location> {
    let location: Location = text.parse().map_err(|error| UsageError(format!("--out: {error}")))?;
    Ok(location.as_prefix())
}

/// Calls `attempt` until it succeeds, fails for good, or `stop` is cancelled (`None`), with growing
/// delays in between, and says so.
pub(crate) async fn with_backoff<T, F>(
    what: &str,
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<Option<T>>
where
    F: Future<Output = Result<T, store::Error>>,
{
    let mut delay = Duration::from_secs(1);
    loop {
        match attempt().await {
            Ok(value) => return Ok(Some(value)),
            Err(error) if !error.is_transient() => return Err(error.into()),
            Err(error) => tracing::warn!(%error, ?delay, "waiting for {what}"),
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return Ok(None),
        }
        delay = (delay * 2).min(Duration::from_secs(60));
    }
}

/// Name of this process in records and logs.
pub(crate) fn process_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

/// Where `submit` remembers batches of this machine, for `status`.
pub(crate) fn batches_directory() -> PathBuf {
    crate::config::state_directory().join("batches")
}
