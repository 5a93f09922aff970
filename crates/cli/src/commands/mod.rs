pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod models;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod transcribe;
pub(crate) mod worker;

use serde::Serialize;

/// Prints a result for scripts.
#[allow(clippy::print_stdout)]
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a result for people.
#[allow(clippy::print_stdout)]
fn print_line(line: &str) {
    println!("{line}");
}
