use std::sync::Arc;

use queue::AmqpQueue;
use store::Location;
use worker::Worker;

use crate::{
    UsageError,
    config::Config,
    exit,
    loading::{self, Needs},
    wiring,
};

/// Runs until SIGTERM; then drains.
pub(crate) async fn run(config: &Config) -> anyhow::Result<u8> {
    let drain = wiring::termination()?;
    // A model that is loaded for nothing costs memory: speakers only where the operator says so.
    let speakers = config.models.speakers.is_some();
    let normalization = config.models.normalization.is_some() || config.recognizer.normalize;
    let needs = Needs { pull: false, punctuation: true, speakers, normalization };
    let engine = loading::engine(config, needs).await?;
    for prefix in &config.worker.probe {
        let location: Location =
            prefix.parse().map_err(|error| UsageError(format!("worker.probe: {error}")))?;
        let location = location.as_prefix();
        let transcriber = &engine.transcriber;
        let probed =
            wiring::with_backoff("the store", &drain, || transcriber.probe(&location)).await?;
        let Some(capabilities) = probed else { return Ok(exit::SUCCESS) };
        tracing::info!(%location, ?capabilities, "store probed");
    }
    let queue = tokio::select! {
        queue = AmqpQueue::connect(config.queue.clone()) => queue?,
        () = drain.cancelled() => return Ok(exit::SUCCESS),
    };
    let mut options = config.worker.clone();
    if options.name.is_empty() {
        options.name = wiring::process_name();
    }
    Worker::new(Arc::new(queue), engine.transcriber, options, engine.cores).run(drain).await?;
    Ok(exit::SUCCESS)
}
