//! Renders tab-separated values as Whisper's command line does: times in milliseconds, then the text.
//! Nothing is quoted.

use std::fmt::Write;

use crate::{Transcript, text, timeline::milliseconds};

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut tsv = "start\tend\ttext\n".to_owned();
    for segment in &transcript.segments {
        // Tabs and line breaks become spaces.
        let text = text::clean(&segment.text);
        if !text.is_empty() {
            let start = milliseconds(segment.start);
            let end = milliseconds(segment.end).max(start);
            let _infallible = writeln!(tsv, "{start}\t{end}\t{text}");
        }
    }
    tsv
}
