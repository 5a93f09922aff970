//! Renders JSON Lines: one segment of the transcript per line, with the name of its speaker.

use serde::Serialize;

use crate::{Segment, Transcript, Word, text};

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    segment: &'a Segment,
    /// For readers that do not have the list of speakers.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker_name: Option<String>,
}

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut jsonl = String::new();
    for segment in &transcript.segments {
        let segment = on_one_line(segment);
        // A segment without text may be an event.
        if segment.text.is_empty() && segment.event.is_none() {
            continue;
        }
        let name = segment.speaker.and_then(|id| transcript.speaker(id));
        let line = Line { segment: &segment, speaker_name: name.map(|name| name.display_name()) };
        jsonl.push_str(&serde_json::to_string(&line).expect("a segment can be written as JSON"));
        jsonl.push('\n');
    }
    jsonl
}

/// JSON may contain characters at which some readers divide lines, such as U+2028.
fn on_one_line(segment: &Segment) -> Segment {
    let clean = |text: &Option<String>| text.as_deref().map(text::clean);
    let word = |word: &Word| Word { text: text::clean(&word.text), ..word.clone() };
    Segment {
        text: text::clean(&segment.text),
        language: clean(&segment.language),
        emotion: clean(&segment.emotion),
        event: clean(&segment.event),
        words: segment.words.iter().map(word).collect(),
        ..*segment
    }
}
