//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod bridge;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod dead;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod results;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod transcribe;
pub(crate) mod worker;

use errors::printable;
use serde::Serialize;

use crate::output;

/// Prints a result as JSON, for scripts.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_text(&serde_json::to_string_pretty(value)?)
}

/// Prints a line of a result for people, whatever characters the names in it contain.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    print_text(&printable(line))
}

/// Prints lines of a result, which contain no text of others. A closed standard output changes
/// neither the work nor the exit code of the command.
pub(crate) fn print_text(text: &str) -> anyhow::Result<()> {
    match output::write(&format!("{text}\n")) {
        Err(error) if error.is::<output::Closed>() => Ok(()),
        written => written,
    }
}
