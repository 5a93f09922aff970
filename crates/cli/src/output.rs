//! Standard output, for results, and standard error, for messages. A reader of standard output may
//! stop reading at any time, as `head` does; that is not an error.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use anyhow::Context;
use errors::printable;

/// Whether only failures are shown (`--quiet`).
static QUIET: AtomicBool = AtomicBool::new(false);

/// The reader of standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(crate) struct Closed;

/// Writes to standard output, unbuffered.
pub(crate) fn write(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_ref()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error, whatever characters the names in it contain. A failure cannot be
/// reported anywhere, and is ignored.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Shows failures only, from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// Writes a line to standard error that is not about a failure.
pub(crate) fn note(line: &str) {
    if !is_quiet() {
        say(line);
    }
}
