//! Standard output, for results. Whoever reads it may stop reading at any time, as `head` does: that
//! is no fault, and what was to be printed next is not missed.

use std::io::{self, Write};

use anyhow::Context;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(crate) struct Closed;

/// Writes to standard output, at once.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error. If that fails there is nowhere left to say so.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
