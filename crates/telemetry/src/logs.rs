//! The log on standard error.

use std::io::{self, IsTerminal};

use app::config::{LogConfig, LogFormat};
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer, registry::LookupSpan};

use crate::Error;

/// Returns the layer that writes the log.
pub(crate) fn layer<S>(config: &LogConfig) -> Result<Box<dyn Layer<S> + Send + Sync>, Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let level = |source| Error::Level { level: config.level.clone(), source };
    let mut filter = EnvFilter::try_new(&config.level).map_err(level)?;
    // lapin warns about events that `queue` logs itself, and quotes whole messages. The exporter of traces
    // says nothing that an operator can use.
    for quiet in ["lapin=off", "opentelemetry=off"] {
        filter = filter.add_directive(quiet.parse().map_err(level)?);
    }
    // symphonia logs what it notices in a recording, and what it refuses as an error. The transcript's
    // warnings, or the failure, say what a user needs; who looks for more names it in the level.
    if !config.level.contains("symphonia") {
        filter = filter.add_directive("symphonia=off".parse().map_err(level)?);
    }
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        // Reporting internal errors would panic when standard error is closed.
        .log_internal_errors(false);
    let json = match config.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    Ok(if json {
        let layer = layer.json().flatten_event(true).with_current_span(true).with_span_list(false);
        layer.with_filter(filter).boxed()
    } else {
        layer.with_target(false).compact().with_filter(filter).boxed()
    })
}
