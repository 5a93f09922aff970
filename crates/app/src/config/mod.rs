//! The configuration: one file per section, and [`load`], which merges the layers.

mod audio;
mod bridge;
mod compute;
mod layers;
mod log;
mod models;
mod output;
mod precision;
mod recognizer;
mod redact;
mod telemetry;

use serde::{Deserialize, Serialize};

pub use self::{
    audio::{AudioConfig, FallbackMode},
    bridge::{BridgeConfig, BridgeRule},
    compute::ComputeConfig,
    layers::{FlagValue, LayeredConfig, load},
    log::{LogConfig, LogFormat},
    models::ModelsConfig,
    output::OutputConfig,
    recognizer::RecognizerConfig,
    telemetry::TelemetryConfig,
};

/// The whole configuration, one field per section.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub log: LogConfig,
    pub compute: ComputeConfig,
    pub models: ModelsConfig,
    pub recognizer: RecognizerConfig,
    pub audio: AudioConfig,
    pub output: OutputConfig,
    pub segmentation: speech::segmenter::SegmentationConfig,
    pub speakers: speech::speakers::SpeakersConfig,
    pub queue: queue::AmqpConfig,
    pub store: store::StoreConfig,
    pub worker: worker::WorkerConfig,
    pub telemetry: TelemetryConfig,
    pub bridge: BridgeConfig,
    pub notify: notify::NotifyConfig,
}
