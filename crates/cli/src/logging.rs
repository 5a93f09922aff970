//! Sets up logging to standard error.

use std::io::{self, IsTerminal};

use app::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::UsageError;

/// Installs the global log subscriber.
pub(crate) fn init(config: &LogConfig) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&config.level)
        .map_err(|error| {
            let level = &config.level;
            UsageError(format!("log.level: not a level or a filter: `{level}`: {error}"))
        })?
        // lapin warns about events that `queue` logs itself, and quotes whole messages.
        .add_directive("lapin=off".parse()?);
    // symphonia logs what it notices in a recording, and what it refuses as an error. The transcript's
    // warnings, or the failure, say what a user needs; who looks for more names it in the level.
    if !config.level.contains("symphonia") {
        filter = filter.add_directive("symphonia=off".parse()?);
    }
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Reporting internal errors would panic when standard error is closed.
        .log_internal_errors(false);
    let json = match config.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    if json {
        subscriber.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    } else {
        subscriber.with_target(false).compact().init();
    }
    Ok(())
}
