//! Renders plain text: one line per segment, and an empty line after a pause.

use crate::{Transcript, cue::text_label, paragraphs, text, timeline::milliseconds};

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut txt = String::new();
    let mut silent_since = None;
    for segment in &transcript.segments {
        let line = text::clean(&segment.text);
        if line.is_empty() {
            continue;
        }
        let (start, end) = (milliseconds(segment.start), milliseconds(segment.end));
        if silent_since.is_some_and(|since| start > since + paragraphs::PAUSE_MS) {
            txt.push('\n');
        }
        txt.push_str(&text_label(transcript.voice(segment).as_deref()));
        txt.push_str(&line);
        txt.push('\n');
        silent_since = silent_since.max(Some(end));
    }
    txt
}
