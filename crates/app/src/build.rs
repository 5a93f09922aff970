//! Builds the application: configuration in, a ready [`App`] out.

use std::{iter, sync::Arc};

use speech::{
    compute::Compute,
    pipeline::{self, Pipeline},
    recognizer,
};
use worker::Transcriber;

use crate::{
    Config, ConfigError, Error, OnPull, Urls,
    compute::{instruction_sets, start_pool},
    models::ModelLoader,
    presets::{PresetDirectories, add_preset},
    services,
};

/// A ready application: models loaded, compute threads started, stores opened.
pub struct App {
    pub transcriber: Transcriber,
    /// Number of compute threads.
    pub cores: usize,
}

/// What a command needs of the models. By default nothing beyond recognizer and VAD.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildOptions {
    /// Pull models that are not installed, if the configuration allows it.
    pub pull: bool,
    pub punctuation: bool,
    pub speakers: bool,
    pub normalization: bool,
    pub urls: Urls,
}

/// Builds the application. Models of all presets are loaded, the default preset's first.
///
/// # Errors
/// [`Error::Config`] if the configuration is wrong, also if it names an unknown model; the other
/// kinds if a model cannot be pulled or opened, or if threads cannot be started.
pub async fn build(
    config: &Config,
    options: BuildOptions,
    on_pull: OnPull<'_>,
) -> Result<App, Error> {
    instruction_sets()?;
    let decoding = config.audio.options()?;
    let library = services::library(config)?;
    let mut presets = Vec::new();
    for name in iter::once(&config.models.recognizer).chain(&config.models.also) {
        let preset = PresetDirectories::find(config, &library, name, options, on_pull).await?;
        add_preset(&mut presets, preset)?;
    }
    let loaded = load(config, presets).await?;

    let cores = config.compute.cores();
    let shares = config.worker.shares.by_class();
    let pool: Arc<dyn Compute> = Arc::new(start_pool(cores, config.compute.pin, &shares)?);
    let pipeline_config = pipeline::PipelineConfig {
        segmentation: config.segmentation.clone(),
        hotwords: config.recognizer.hotwords.clone(),
        normalize: config.recognizer.normalize,
    };
    let pipelines = loaded
        .into_iter()
        .map(|(name, models)| {
            (name, Pipeline::new(models, pipeline_config.clone(), Arc::clone(&pool)))
        })
        .collect();
    let stores = services::stores_with(config, options.urls)?;
    let transcriber = Transcriber::new(stores, pipelines, decoding)
        .with_language_suffix(config.output.language_suffix)
        .with_overwrite(config.output.overwrite);
    Ok(App { transcriber, cores })
}

/// Loads the models of the presets; returns them with the presets' names.
async fn load(
    config: &Config,
    presets: Vec<PresetDirectories>,
) -> Result<Vec<(String, pipeline::Models)>, Error> {
    let mut loader = ModelLoader::new(config.recognizer.clone(), config.speakers.clone());
    let load = move || {
        let models = presets.into_iter().map(|preset| {
            let models = loader.models(&preset)?;
            Ok((preset.name, models))
        });
        models.collect::<Result<Vec<_>, Error>>()
    };
    let loaded = tokio::task::spawn_blocking(load).await.map_err(Error::Panicked)??;
    for (name, models) in &loaded {
        // Checked once here, so that not every job fails.
        models.recognizer.check_hotwords(&config.recognizer.hotwords).map_err(
            |error: recognizer::Error| {
                let context = format!("recognizer.hotwords, for the preset `{name}`");
                ConfigError::caused(context, error)
            },
        )?;
    }
    Ok(loaded)
}
