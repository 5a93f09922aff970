//! What an operator sees of a process: its log, metrics, health and traces.
//!
//! [`start`] sets up the log and, where the configuration asks for it, traces. A worker's [`WorkerMetrics`]
//! and [`Health`] observe its events, a bridge counts in [`BridgeMetrics`]; [`serve`] offers them to
//! Prometheus and Kubernetes.

mod health;
mod logs;
mod metrics;
mod server;
mod traces;

pub use self::{
    health::Health,
    metrics::{BridgeMetrics, Exposition, UploadOutcome, WorkerMetrics},
    server::{Admin, serve},
    traces::{TraceObserver, current_trace},
};

use app::config::{LogConfig, TelemetryConfig};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use self::traces::Tracer;

/// Why telemetry cannot be set up. All of it is a mistake in the configuration, but for
/// [`Error::Listen`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("log.level: not a level or a filter: `{level}`")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("telemetry.otlp_endpoint: `{endpoint}`")]
    Endpoint { endpoint: String, source: opentelemetry_otlp::ExporterBuildError },
    #[error("telemetry.trace_ratio: {0} is not between 0 and 1")]
    Ratio(f64),
    #[error("telemetry.listen: cannot listen on `{address}`")]
    Listen { address: String, source: std::io::Error },
}

/// Ends traces when it is dropped: what has not been sent is sent.
#[must_use = "traces end when it is dropped"]
pub struct Guard {
    _tracer: Option<Tracer>,
}

/// Sets up the log on standard error, and traces. Call it once.
///
/// # Errors
///
/// [`Error`], if the configuration is wrong.
pub fn start(log: &LogConfig, telemetry: &TelemetryConfig) -> Result<Guard, Error> {
    let tracer = Tracer::new(telemetry)?;
    let traces = tracer.as_ref().map(Tracer::layer);
    let logs = logs::layer(log)?;
    // Traces have the spans of jobs, whatever the log's level.
    tracing_subscriber::registry()
        .with(traces.map(|layer| layer.with_filter(traces::filter())))
        .with(logs)
        .init();
    Ok(Guard { _tracer: tracer })
}
