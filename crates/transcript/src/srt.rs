//! Renders SubRip. There is no standard; players agree on a number, the times with a decimal comma,
//! the text, and an empty line.

use std::fmt::Write;

use crate::{
    SubtitleOptions, Transcript,
    cue::{SpeakerLabel, cues, text_label},
};

pub(crate) fn render(transcript: &Transcript, options: &SubtitleOptions) -> String {
    let mut srt = String::new();
    for (index, cue) in cues(transcript, SpeakerLabel::InText, options).into_iter().enumerate() {
        // SubRip has no escape for `-->`, which readers take for a line of times.
        let text = cue.lines.join("\n").replace("-->", "→");
        let label = text_label(cue.speaker.as_deref()).replace("-->", "→");
        let (start, end) = (timestamp(cue.start), timestamp(cue.end));
        let separator = if index == 0 { "" } else { "\n" };
        let _infallible =
            write!(srt, "{separator}{}\n{start} --> {end}\n{label}{text}\n", index + 1);
    }
    srt
}

fn timestamp(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
    format!("{hours:02}:{minutes:02}:{:02},{milliseconds:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_have_at_least_two_digits() {
        assert_eq!(timestamp(0), "00:00:00,000");
        assert_eq!(timestamp(3_723_004), "01:02:03,004");
        assert_eq!(timestamp(360_000_000), "100:00:00,000");
    }
}
