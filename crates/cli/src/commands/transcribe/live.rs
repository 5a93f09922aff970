//! Text on the screen as soon as it is recognized.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use errors::printable;
use speech::pipeline::Listener;
use transcript::Segment;

use crate::progress::Progress;

/// Silence in seconds after which plain text begins a new paragraph, as in the format `txt`.
const PARAGRAPH_PAUSE: f64 = 2.0;

/// Prints the segments of one recording.
pub(super) struct LiveText {
    progress: Arc<Progress>,
    /// Name of the recording, which each line begins with; `None`: the lines are those of the format
    /// `txt`.
    name: Option<String>,
    /// End of the latest segment.
    silent_since: Mutex<Option<f64>>,
}

impl LiveText {
    pub(super) fn new(progress: &Arc<Progress>, name: Option<String>) -> Self {
        Self { progress: Arc::clone(progress), name, silent_since: Mutex::new(None) }
    }

    fn line(&self, channel: Option<usize>, segment: &Segment) -> String {
        let text = segment.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let channel = channel.map(|channel| format!("Channel {}: ", channel + 1));
        let channel = channel.unwrap_or_default();
        let text = printable(&text);
        match &self.name {
            Some(name) => format!("{name} [{}] {channel}{text}\n", clock(segment.start)),
            None => format!("{channel}{text}\n"),
        }
    }
}

impl fmt::Debug for LiveText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveText").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Listener for LiveText {
    fn on_segments(&self, channel: Option<usize>, segments: &[Segment]) {
        let mut lines = String::new();
        let mut silent_since = self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in segments.iter().filter(|segment| !segment.text.trim().is_empty()) {
            let is_paragraph =
                silent_since.is_some_and(|since| segment.start > since + PARAGRAPH_PAUSE);
            if is_paragraph && self.name.is_none() {
                lines.push('\n');
            }
            lines += &self.line(channel, segment);
            *silent_since = Some(silent_since.unwrap_or(0.0).max(segment.end));
        }
        // Whoever has closed standard output is not interested; the transcript is written all the same.
        let _ = self.progress.print(&lines);
    }
}

/// Returns a time as players show it: `3:07`, `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_players() {
        assert_eq!([0.0, 187.9, 3723.0].map(clock), ["0:00", "3:07", "1:02:03"]);
    }
}
