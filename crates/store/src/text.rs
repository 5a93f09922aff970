//! Text that goes to people: one line, without control characters, with its causes.

use std::{error::Error, fmt::Write};

/// Keys may hold newlines and terminal escapes; a message must not.
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

/// The error and its causes in one line, each once.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut out = printable(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next {
        let text = printable(&cause.to_string());
        if !text.is_empty() && !out.contains(&text) {
            let _ = write!(out, ": {text}");
        }
        next = cause.source();
    }
    out
}
