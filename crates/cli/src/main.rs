//! The command line of Scriptorium.

mod args;
mod batches;
mod claims;
mod commands;
mod completion;
#[cfg(test)]
mod documented;
mod documents;
mod existing;
mod extensions;
mod filter;
mod flags;
mod history;
mod ignored;
mod manifest;
mod memory;
mod names;
mod naming;
mod output;
mod progress;
mod sources;
mod speakers_flag;
mod stems;
mod subtitles;
mod termination;
mod version;
mod whisper_spelling;
mod writable;

use std::{ffi::OsString, process::ExitCode};

use app::config::{LogConfig, LogFormat};
use clap::{Parser, error::ErrorKind};
use errors::Chain;

use crate::args::{Arguments, Command};

/// Exit codes, as documented in `scriptorium --help`.
mod exit {
    pub(crate) const SUCCESS: u8 = 0;
    /// Some recordings failed, or the command failed.
    pub(crate) const FAILURE: u8 = 1;
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// A worker has drained because it had too much memory, and is to be started anew.
    pub(crate) const OVER_MEMORY: u8 = 3;
    /// The command was stopped by SIGINT or SIGTERM before it was done.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// A mistake on the command line: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

fn main() -> ExitCode {
    completion::answer();
    let (written, hints) = as_clap_reads_them(std::env::args_os());
    let arguments = match Arguments::try_parse_from(&written) {
        Err(error)
            if error.kind() == ErrorKind::DisplayVersion
                && written.iter().any(|argument| argument == "--version") =>
        {
            // `-V` prints the version alone.
            let printed = commands::print_text(&version::long());
            return ExitCode::from(if printed.is_ok() { exit::SUCCESS } else { exit::FAILURE });
        }
        parsed => parsed.unwrap_or_else(|error| error.exit()),
    };
    if arguments.quiet {
        output::be_quiet();
    }
    hints.iter().for_each(|hint| output::note(hint));
    if let Err(error) = memory::limit_fragmentation() {
        output::say(&format!("warning: memory may grow: cannot start a thread: {error}"));
    }
    ExitCode::from(match run(arguments) {
        Ok(code) => code,
        // The reader of standard output has read what it needed.
        Err(error) if error.is::<output::Closed>() => exit::SUCCESS,
        Err(error) => {
            // Prints the chain of causes in one line, except for the excerpt of a configuration file.
            format!("error: {error:#}").lines().for_each(output::say);
            if is_usage_error(&error) { exit::USAGE } else { exit::FAILURE }
        }
    })
}

/// Returns whether the command line or the configuration is wrong.
fn is_usage_error(error: &anyhow::Error) -> bool {
    error.is::<UsageError>()
        || error.is::<bench::InvalidOption>()
        || error.downcast_ref().is_some_and(app::Error::is_configuration)
}

/// Returns the arguments in the spelling of this program, and hints about those that were spelt otherwise.
fn as_clap_reads_them(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Vec<String>) {
    let (arguments, hints) = whisper_spelling::translate(arguments);
    (speakers_flag::join(arguments), hints)
}

/// Returns how to log: people read what a command says, also in a pipe; programs read what a service says.
fn log_config(config: &LogConfig, command: &Command) -> LogConfig {
    let mut config = config.clone();
    let is_service = matches!(command, Command::Worker(_) | Command::Bridge);
    if config.format == LogFormat::Auto && !is_service {
        config.format = LogFormat::Pretty;
    }
    config
}

fn run(arguments: Arguments) -> anyhow::Result<u8> {
    // These need no configuration: packages are built where there is none, or a wrong one.
    match &arguments.command {
        Command::Completions(completions) => return commands::completions::run(completions),
        Command::Man(man) => return commands::man::run(man),
        _ => {}
    }
    let flags = flags::flags(&arguments);
    let layered = app::config::load(arguments.config.as_deref(), &flags)?;
    let log = log_config(&layered.config.log, &arguments.command);
    let telemetry = telemetry::start(&log, &layered.config.telemetry);
    let _telemetry = telemetry.map_err(|error| UsageError(Chain(&error).to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The compute pool has the cores; these threads only wait for services.
        .worker_threads(2)
        // Each job in flight occupies one such thread, which waits for others that read its files.
        .max_blocking_threads(512 + usize::from(layered.config.worker.jobs))
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        let config = &layered.config;
        match arguments.command {
            Command::Transcribe(args) => commands::transcribe::run(config, args).await,
            Command::Convert(args) => commands::convert::run(config, args).await,
            Command::Worker(_) => commands::worker::run(config).await,
            Command::Bridge => commands::bridge::run(config).await,
            Command::Submit(args) => commands::submit::run(config, args).await,
            Command::Status(args) => commands::status::run(config, args).await,
            Command::Results(args) => commands::results::run(config, args).await,
            Command::Pause(args) => commands::control::pause(config, args).await,
            Command::Resume(args) => commands::control::resume(config, args).await,
            Command::Cancel(args) => commands::control::cancel(config, args).await,
            Command::Dead(args) => commands::dead::run(config, args).await,
            Command::Models(args) => commands::models::run(config, args).await,
            Command::Speakers(args) => commands::speakers::run(config, args).await,
            Command::Bench(args) => commands::bench::run(config, args).await,
            Command::Config(args) => commands::config::run(&layered, &args),
            Command::Completions(_) | Command::Man(_) => Ok(exit::SUCCESS),
        }
    });
    // A decoder may still block in a read, but everything that matters is settled by now.
    runtime.shutdown_background();
    code
}
