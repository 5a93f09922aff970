use std::sync::Arc;

use location::Location;
use queue::AmqpQueue;
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
    // Before the models, which take a while.
    let queue = wiring::queue(config)?;
    let drain = wiring::termination()?;
    let engine = loading::engine(config, needs(config)).await?;
    for prefix in &config.worker.probe {
        let location = Location::from_argument(prefix)
            .map_err(|error| UsageError(format!("worker.probe: {error}")))?;
        let location = location.as_prefix();
        let transcriber = &engine.transcriber;
        let probed =
            wiring::with_backoff("the store", &drain, || transcriber.probe(&location)).await?;
        let Some(capabilities) = probed else { return Ok(exit::SUCCESS) };
        tracing::info!(%location, ?capabilities, "store probed");
    }
    let queue = tokio::select! {
        queue = AmqpQueue::connect(queue) => queue?,
        () = drain.cancelled() => return Ok(exit::SUCCESS),
    };
    let mut options = config.worker.clone();
    if options.name.is_empty() {
        options.name = wiring::process_name();
    }
    Worker::new(Arc::new(queue), engine.transcriber, options, engine.cores).run(drain).await?;
    Ok(exit::SUCCESS)
}

/// Whatever jobs may ask for. A model that is loaded for nothing costs memory: speakers only where
/// the operator says so; the grammars of numbers are one or two megabytes.
fn needs(config: &Config) -> Needs {
    let speakers = config.models.speakers.is_some();
    Needs { pull: false, punctuation: true, speakers, normalization: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_ready_for_jobs_that_want_digits() {
        let config = Config::default();
        let library = wiring::library(&config).unwrap();
        let preset = loading::preset(&config, &library, "paraformer-zh");
        assert_eq!(preset.normalization.as_deref(), Some("itn-zh"));
        assert!(needs(&config).normalization);
        assert!(!needs(&config).speakers);
    }
}
