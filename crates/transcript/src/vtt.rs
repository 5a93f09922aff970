//! Renders WebVTT, <https://www.w3.org/TR/webvtt1/>.

use std::fmt::Write;

use crate::{
    SubtitleOptions, Transcript,
    cue::{SpeakerLabel, cues},
};

pub(crate) fn render(transcript: &Transcript, options: &SubtitleOptions) -> String {
    let mut vtt = "WEBVTT\n\n".to_owned();
    for (index, cue) in cues(transcript, SpeakerLabel::Markup, options).into_iter().enumerate() {
        let text = escape(&cue.lines.join("\n"));
        // The end tag may be omitted if the voice tag spans the whole cue.
        let voice =
            cue.speaker.map_or_else(String::new, |speaker| format!("<v {}>", escape(&speaker)));
        let separator = if index == 0 { "" } else { "\n" };
        let (start, end) = (timestamp(cue.start), timestamp(cue.end));
        let _infallible = write!(vtt, "{separator}{start} --> {end}\n{voice}{text}\n");
    }
    vtt
}

/// Escapes markup. `-->` needs no rule of its own, because its `>` is escaped.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn timestamp(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
    format!("{hours:02}:{minutes:02}:{:02}.{milliseconds:03}", seconds % 60)
}
