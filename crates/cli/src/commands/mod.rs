//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod bridge;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod convert;
pub(crate) mod dead;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod results;
pub(crate) mod speakers;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod transcribe;
pub(crate) mod worker;

use anyhow::Context;
use app::Config;
use errors::printable;
use queue::AmqpQueue;
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
    match output::write(format!("{text}\n")) {
        Err(error) if error.is::<output::Closed>() => Ok(()),
        written => written,
    }
}

/// Seconds for which a command waits for the broker, unless `queue.connect_timeout_seconds` says otherwise:
/// somebody watches. (Services wait without limit.)
const BROKER_PATIENCE: u64 = 10;

/// Connects to the queue.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<AmqpQueue> {
    let mut queue = app::queue_config(config)?;
    queue.connect_timeout_seconds.get_or_insert(BROKER_PATIENCE);
    let url = queue.url.to_string();
    AmqpQueue::connect(queue).await.with_context(|| {
        format!("no connection to the broker {url}: see that it runs, or set queue.url (SCRIPTORIUM__QUEUE__URL)")
    })
}
