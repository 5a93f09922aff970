//! Text for people: one line, without control characters.

use std::{
    error::Error,
    fmt::{self, Write},
};

/// Escapes control characters. Keys and a server's messages may contain newlines and terminal
/// escapes; a log line must not.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes the sources of an error, each after `: `. A source that repeats the text of the one
/// before is left out.
pub(crate) fn write_sources(out: &mut impl Write, error: &dyn Error) -> fmt::Result {
    let mut before = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if !text.is_empty() && !before.contains(&text) {
            write!(out, ": {}", printable(&text))?;
            before = text;
        }
        next = source.source();
    }
    Ok(())
}
