//! `scriptorium worker`: leases jobs until SIGTERM, then drains.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use app::{App, BuildOptions, Config, Urls};
use location::Location;
use queue::AmqpQueue;
use store::Capabilities;
use telemetry::{Admin, Health, TraceObserver, WorkerMetrics};
use tokio_util::sync::CancellationToken;
use worker::{Transcriber, Worker, events::Observer};

use crate::{UsageError, exit, progress::download_bar, termination::termination};

pub(crate) async fn run(config: &Config) -> anyhow::Result<u8> {
    // Validated first, because loading the models takes a while.
    let queue = app::queue_config(config)?;
    let webhooks = app::webhooks(config)?;
    let drain = termination()?;
    let (metrics, health) = (Arc::new(WorkerMetrics::default()), Arc::new(Health::default()));
    let admin = Admin { metrics: metrics.clone(), health: health.clone() };
    // First of all, because loading models takes a while, and somebody asks meanwhile.
    telemetry::serve(&config.telemetry, admin).await?;
    let app = app::build(config, build_options(config), &download_bar()).await?;
    for prefix in &config.worker.probe {
        let location = Location::from_argument(prefix)
            .map_err(|error| UsageError(format!("worker.probe: {error}")))?;
        let location = location.as_prefix();
        let probed = probe(&app.transcriber, &location, &drain).await?;
        let Some(capabilities) = probed else { return Ok(exit::SUCCESS) };
        tracing::info!(%location, ?capabilities, "store probed");
    }
    let queue = tokio::select! {
        queue = AmqpQueue::connect(queue) => queue?,
        () = drain.cancelled() => return Ok(exit::SUCCESS),
    };
    let mut config = config.worker.clone();
    if config.name.is_empty() {
        config.name = process_name();
    }
    let app = warm_up(app).await?;
    let patience = Duration::from_secs(config.write_patience_seconds);
    let transcriber = app.transcriber.with_write_patience(patience);
    let observers: Vec<Arc<dyn Observer>> = vec![metrics, health, Arc::new(TraceObserver)];
    let worker = Worker::new(Arc::new(queue), transcriber, config, app.cores, observers)
        .map_err(|error| UsageError(format!("worker.sources or worker.outputs: {error}")))?
        .with_webhooks(webhooks);
    let summary = worker.run(drain).await?;
    Ok(if summary.over_memory { exit::OVER_MEMORY } else { exit::SUCCESS })
}

/// Gets the models ready, so that neither the first job nor the measurement of memory is misled.
async fn warm_up(app: App) -> anyhow::Result<App> {
    let start = Instant::now();
    let app = tokio::task::spawn_blocking(move || {
        app.transcriber.warm_up();
        app
    })
    .await?;
    tracing::info!(seconds = start.elapsed().as_secs_f64(), "models are ready");
    Ok(app)
}

/// Returns what jobs may ask for. A model that no job uses costs memory, so the speaker model is
/// loaded only if the configuration names one; the grammars of text normalization take one or two
/// megabytes.
fn build_options(config: &Config) -> BuildOptions {
    let speakers = config.models.speakers.is_some();
    let urls = Urls::OfJobs;
    BuildOptions { pull: false, punctuation: true, speakers, normalization: true, urls }
}

/// Probes the store of `location` until that succeeds, fails for good, or `stop` is cancelled
/// (`None`), with growing delays in between.
async fn probe(
    transcriber: &Transcriber,
    location: &Location,
    stop: &CancellationToken,
) -> Result<Option<Capabilities>, store::Error> {
    let mut delays = worker::delays(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        let error = match transcriber.probe(location).await {
            Ok(capabilities) => return Ok(Some(capabilities)),
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => error,
        };
        let Some(delay) = delays.next() else { return Err(error) };
        tracing::warn!(error = format!("{error:#}"), ?delay, "waiting for the store");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Returns the name of this process in records and logs.
fn process_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_loads_text_normalization_and_no_speaker_model() {
        let config = Config::default();
        let library = app::library(&config).unwrap();
        let preset = app::preset(&config, &library, "paraformer-zh");
        assert_eq!(preset.normalization.as_deref(), Some("itn-zh"));
        assert!(build_options(&config).normalization);
        assert!(!build_options(&config).speakers);
    }
}
