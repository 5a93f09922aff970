use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::UsageError;

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// A level (`info`) or a filter (`info,lapin=warn`).
    pub(crate) level: String,
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

pub(crate) fn init(options: &Options) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.level)
        .map_err(|error| {
            let level = &options.level;
            UsageError(format!("log.level: not a level or a filter: `{level}`: {error}"))
        })?
        // Says at `warn` what `queue` says itself, and quotes whole messages.
        .add_directive("lapin=off".parse()?);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would panic where nobody reads standard error any more.
        .log_internal_errors(false);
    let json = match options.format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Pretty => false,
        Format::Json => true,
    };
    if json {
        subscriber.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    } else {
        subscriber.with_target(false).compact().init();
    }
    Ok(())
}
