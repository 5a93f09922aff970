//! WebVTT, <https://www.w3.org/TR/webvtt1/>.

use std::fmt::Write;

use crate::{
    Transcript,
    cue::{Label, cues},
};

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut vtt = "WEBVTT\n\n".to_owned();
    for (index, cue) in cues(transcript, Label::Apart).into_iter().enumerate() {
        let text = escape(&cue.lines.join("\n"));
        // The end tag may be left out where one voice speaks the whole cue.
        let voice = cue.voice.map_or_else(String::new, |voice| format!("<v {voice}>"));
        let separator = if index == 0 { "" } else { "\n" };
        let (start, end) = (timestamp(cue.start), timestamp(cue.end));
        let _infallible = write!(vtt, "{separator}{start} --> {end}\n{voice}{text}\n");
    }
    vtt
}

/// `-->` needs no rule of its own: its `>` is escaped.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn timestamp(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
    format!("{hours:02}:{minutes:02}:{:02}.{milliseconds:03}", seconds % 60)
}
