//! Puts the rooms together as the configuration says.

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use models::{Catalogue, Family, Library, ModelDirectory};
use speech::{
    compute::Compute,
    pipeline::Pipeline,
    vad::FsmnVad,
    whisper::{self, Whisper},
};
use store::{Location, Stores};
use tokio_util::sync::CancellationToken;
use worker::{ComputePool, Transcriber};

use crate::{
    UsageError,
    config::{Config, Precision},
};

/// What transcribes: models loaded, cores at hand.
pub(crate) struct Engine {
    pub(crate) transcriber: Transcriber,
    pub(crate) cores: usize,
}

pub(crate) fn library(config: &Config) -> Library {
    Library::new(config.models.directory.clone(), Catalogue::builtin())
}

pub(crate) fn stores(config: &Config) -> anyhow::Result<Arc<Stores>> {
    let stores = Stores::new(config.store.clone());
    Ok(Arc::new(stores.map_err(|error| UsageError(format!("store: {error}")))?))
}

/// Loads the models. `pull` fetches what is missing, if the configuration allows it.
pub(crate) async fn engine(config: &Config, pull: bool) -> anyhow::Result<Engine> {
    let vad = model(config, &config.models.vad, Family::FsmnVad, pull).await?;
    let recognizer = model(config, &config.models.recognizer, Family::Whisper, pull).await?;
    let settings = whisper::Settings {
        precision: match config.recognizer.precision {
            Precision::Auto | Precision::Int8 => whisper::network::Precision::Int8,
            Precision::F32 => whisper::network::Precision::F32,
        },
        beam_size: config.recognizer.beam_size,
        ..whisper::Settings::default()
    };
    let (vad, recognizer) = tokio::task::spawn_blocking(move || {
        let vad = FsmnVad::open(&vad.path)?;
        let recognizer = Whisper::open(&recognizer.path, &recognizer.name, settings)?;
        Ok::<_, speech::recognizer::Error>((vad, recognizer))
    })
    .await??;

    // `available_parallelism` heeds the cgroup's quota.
    let cores = match config.compute.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let pool: Arc<dyn Compute> =
        Arc::new(ComputePool::new(cores).context("cannot start the compute threads")?);
    let pipeline =
        Pipeline::new(Arc::new(vad), Arc::new(recognizer), config.segmentation.clone(), pool);
    let transcriber = Transcriber::new(stores(config)?, vec![pipeline], config.audio.options());
    Ok(Engine { transcriber, cores })
}

async fn model(
    config: &Config,
    name: &str,
    family: Family,
    pull: bool,
) -> anyhow::Result<ModelDirectory> {
    let library = library(config);
    let opened = match library.open(name) {
        Err(models::Error::NotInstalled { .. }) if pull && config.models.auto_pull => {
            let entry = library.catalogue().get(name)?;
            self::pull(&library, entry).await?
        }
        opened => opened?,
    };
    if opened.family != family {
        let message = format!("model `{name}` is a {:?} model, not {family:?}", opened.family);
        return Err(UsageError(message).into());
    }
    Ok(opened)
}

/// Pulls one model with a progress bar.
pub(crate) async fn pull(
    library: &Library,
    entry: &models::Entry,
) -> anyhow::Result<ModelDirectory> {
    let bar = ProgressBar::new(entry.size()).with_style(ProgressStyle::with_template(
        "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
    )?);
    bar.set_message(format!("fetching {}", entry.name));
    let directory = library
        .pull(entry, &|progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(format!("fetching {} {}", entry.name, progress.file));
        })
        .await;
    bar.finish_and_clear();
    Ok(directory?)
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
