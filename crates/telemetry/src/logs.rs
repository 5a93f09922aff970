//! The log on standard error.

use std::io::{self, IsTerminal};

use app::config::{LogConfig, LogFormat};
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, registry::LookupSpan};

use crate::Error;

/// The crates of this program, as the log names them. What libraries log, a user cannot act upon: the
/// transcript's warnings and the failures say what matters.
const OURS: [&str; 23] = [
    "app",
    "audio",
    "bench",
    "engine",
    "errors",
    "formats",
    "job",
    "kernels",
    "ledger",
    "location",
    "models",
    "notify",
    "outbound",
    "protobuf",
    "queue",
    "scriptorium",
    "secret",
    "speech",
    "store",
    "suggest",
    "telemetry",
    "transcript",
    "worker",
];

/// Returns the directives of a level. A level alone is that of this program, and libraries are silent; a
/// filter that names targets says itself what it wants of them.
fn directives(level: &str) -> String {
    if level.parse::<LevelFilter>().is_err() {
        return level.to_owned();
    }
    let ours = OURS.map(|name| format!("{name}={level}"));
    format!("off,{}", ours.join(","))
}

/// Returns the layer that writes the log.
pub(crate) fn layer<S>(config: &LogConfig) -> Result<Box<dyn Layer<S> + Send + Sync>, Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let level = |source| Error::Level { level: config.level.clone(), source };
    let mut filter = EnvFilter::try_new(directives(config.level.trim())).map_err(level)?;
    // lapin warns about events that `queue` logs itself, and quotes whole messages. The exporter of traces
    // says nothing that an operator can use.
    for quiet in ["lapin=off", "opentelemetry=off"] {
        filter = filter.add_directive(quiet.parse().map_err(level)?);
    }
    // symphonia logs what it notices in a recording, and what it refuses as an error.
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
        // Colours only where somebody looks.
        let layer = layer.with_ansi(io::stderr().is_terminal() && !no_color());
        layer.with_target(false).compact().with_filter(filter).boxed()
    })
}

/// See https://no-color.org.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_that_of_this_program() {
        let debug = directives("debug");
        assert!(debug.starts_with("off,app=debug,") && debug.ends_with(",worker=debug"), "{debug}");
        for filter in ["info,tract=debug", "tract_core=info", "worker", "loud"] {
            assert_eq!(directives(filter), filter);
        }
    }

    /// A crate that is missing here would never be heard.
    #[test]
    fn all_crates_of_the_workspace_are_ours() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut names: Vec<String> = std::fs::read_dir(crates)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // The binary of this one has another name.
            .map(|name| if name == "cli" { "scriptorium".to_owned() } else { name })
            .collect();
        names.sort();
        assert_eq!(names, OURS);
    }
}
