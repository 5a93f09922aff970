//! What FFmpeg writes to its standard error, bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes kept; of more, the last ones.
const MAX_BYTES: usize = 64 * 1024;
/// Characters of a line that are quoted in a message.
const MAX_QUOTED: usize = 200;

/// The log of a process, shared with whoever reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedLog(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    bytes: Vec<u8>,
    lines: u64,
}

impl SharedLog {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        let mut log = self.lock();
        log.lines += bytes.iter().filter(|&&b| b == b'\n').count() as u64;
        log.bytes.extend_from_slice(bytes);
        let surplus = log.bytes.len().saturating_sub(MAX_BYTES);
        log.bytes.drain(..surplus);
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Returns the last line, fit for a message.
    pub(super) fn last_line(&self) -> Option<String> {
        let text = self.text();
        let line = text.lines().map(without_prefix).rfind(|line| !line.is_empty())?;
        let short: String = line.chars().take(MAX_QUOTED).collect();
        Some(errors::printable(&short).into_owned())
    }

    /// Returns a sentence for the transcript if the program complained.
    pub(crate) fn warning(&self) -> Option<String> {
        let line = self.last_line()?;
        let lines = self.lock().lines.max(1);
        let problems = if lines == 1 { "a problem" } else { "problems, the last of which is" };
        Some(format!("ffmpeg reported {problems}: {line}"))
    }
}

/// Removes the part of the program that speaks, with its address: `[mov,mp4 @ 0x5590] `.
fn without_prefix(line: &str) -> &str {
    let line = line.trim();
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((part, rest)) if part.contains(" @ 0x") => rest.trim(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_printable_and_bounded() {
        let log = SharedLog::default();
        assert_eq!(log.warning(), None);
        log.push(b"[aac @ 0x55d0c0ffee00] Input buffer exhausted\x1b[31m\n\n");
        assert_eq!(log.last_line().as_deref(), Some("Input buffer exhausted\\u{1b}[31m"));
        log.push(&b"x".repeat(1 << 20));
        assert_eq!(log.last_line().map(|line| line.len()), Some(MAX_QUOTED));
        assert_eq!(log.text().len(), MAX_BYTES);
    }
}
