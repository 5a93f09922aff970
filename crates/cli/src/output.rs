//! Standard output, for results, and standard error, for messages. A reader of standard output may
//! stop reading at any time, as `head` does; that is not an error.

use std::io::{self, Write};

use anyhow::Context;
use errors::printable;

/// The reader of standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(crate) struct Closed;

/// Writes to standard output, unbuffered.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error, whatever characters the names in it contain. A failure cannot be
/// reported anywhere, and is ignored.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}
