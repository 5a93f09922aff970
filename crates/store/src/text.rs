//! Text for people: one line, without control characters.

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
