//! The command line of Scriptorium.

mod args;
mod bench;
mod claims;
mod commands;
mod config;
mod history;
mod loading;
mod logging;
mod output;
mod progress;
mod sources;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

/// Exit codes, as documented in `scriptorium --help`.
mod exit {
    pub(crate) const SUCCESS: u8 = 0;
    /// Some recordings failed, or the command could not do its work.
    pub(crate) const FAILURE: u8 = 1;
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// Stopped by SIGINT or SIGTERM before the work was done.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// An error of the user's making: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = kernels::heap::keep_small() {
        output::say(&format!("warning: memory may grow: a thread did not start: {error}"));
    }
    ExitCode::from(match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // What was printed was enough.
            if error.is::<output::Closed>() {
                return ExitCode::from(exit::SUCCESS);
            }
            // One line with the whole chain: causes are part of the message.
            output::say(&format!("error: {error:#}"));
            if error.is::<UsageError>() { exit::USAGE } else { exit::FAILURE }
        }
    })
}

fn run(arguments: Arguments) -> anyhow::Result<u8> {
    if let Command::Completions(completions) = &arguments.command {
        return commands::completions::run(completions);
    }
    let layered = config::load(&arguments)?;
    logging::init(&layered.config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Few: the compute pool has the cores; these threads wait for services.
        .worker_threads(2)
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        let config = &layered.config;
        match arguments.command {
            Command::Transcribe(args) => commands::transcribe::run(config, args).await,
            Command::Worker(_) => commands::worker::run(config).await,
            Command::Submit(args) => commands::submit::run(config, args).await,
            Command::Status(args) => commands::status::run(config, args).await,
            Command::Models(args) => commands::models::run(config, args).await,
            Command::Bench(args) => bench::run(config, args).await,
            Command::Config(args) => commands::config::run(&layered, &args),
            Command::Completions(_) => Ok(exit::SUCCESS),
        }
    });
    // Decoders may sit in a blocking read; what matters is settled by now.
    runtime.shutdown_background();
    code
}
