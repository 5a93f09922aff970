//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod models;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod transcribe;
pub(crate) mod worker;

use serde::Serialize;

use crate::output;

/// Prints a result as JSON, for scripts.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_line(&serde_json::to_string_pretty(value)?)
}

/// Prints a line of a result for people. A closed standard output changes neither the work nor the
/// exit code of the command.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    match output::write(&format!("{line}\n")) {
        Err(error) if error.is::<output::Closed>() => Ok(()),
        written => written,
    }
}
