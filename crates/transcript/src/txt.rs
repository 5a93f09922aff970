//! Plain text: a line per segment, an empty line where nobody spoke for a while.

use crate::{Transcript, cue::label_in_text, text, timeline::milliseconds};

/// Milliseconds of silence that begin a new paragraph.
const PAUSE: u64 = 2000;

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut txt = String::new();
    let mut silent_since = None;
    for segment in &transcript.segments {
        let line = text::clean(&segment.text);
        if line.is_empty() {
            continue;
        }
        let (start, end) = (milliseconds(segment.start), milliseconds(segment.end));
        if silent_since.is_some_and(|since| start > since + PAUSE) {
            txt.push('\n');
        }
        txt.push_str(&label_in_text(segment.voice().as_deref()));
        txt.push_str(&line);
        txt.push('\n');
        silent_since = silent_since.max(Some(end));
    }
    txt
}
