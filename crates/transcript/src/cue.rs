//! Cues: captions with their times, for both subtitle formats.

use std::collections::BTreeMap;

use crate::{
    Segment, Transcript,
    layout::{Layout, MAX_CUE_MS, MIN_CUE_MS},
    text::{self, MeasuredText},
    timeline::Timeline,
};

/// Columns per second that most people can read: about 20 letters or 10 full-width characters.
const READING_SPEED: u64 = 20;
/// Minimum time in milliseconds between the starts of two cues of a channel, as far as the later cue
/// can be delayed. A cue shown for less goes unnoticed.
const MIN_SEPARATION_MS: u64 = 200;

/// A caption that is shown for a certain time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cue {
    /// Start in milliseconds from the start of the recording.
    pub(crate) start: u64,
    /// End in milliseconds from the start of the recording.
    pub(crate) end: u64,
    /// Name of the speaker, if known.
    pub(crate) speaker: Option<String>,
    /// One or two lines of cleaned text, none empty.
    pub(crate) lines: Vec<String>,
}

/// Where a format puts the speaker's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpeakerLabel {
    /// At the start of the first line, where it takes space from the text.
    InText,
    /// In markup that is not shown as text.
    Markup,
}

/// Returns the label before the text of a cue or a paragraph; empty without a speaker.
pub(crate) fn text_label(speaker: Option<&str>) -> String {
    speaker.map_or_else(String::new, |speaker| format!("{speaker}: "))
}

/// Returns all cues in order of start. The cues of one channel of one track do not overlap, and each ends after its
/// start.
pub(crate) fn cues(transcript: &Transcript, label: SpeakerLabel) -> Vec<Cue> {
    let mut channels: BTreeMap<(Option<u32>, Option<u32>), Vec<Cue>> = BTreeMap::new();
    for segment in &transcript.segments {
        let channel = channels.entry((segment.track, segment.channel)).or_default();
        channel.extend(segment_cues(segment, transcript.voice(segment), label));
    }
    for cues in channels.values_mut() {
        adjust_times(cues);
    }
    let mut cues: Vec<Cue> = channels.into_values().flatten().collect();
    cues.sort_by_key(|cue| cue.start);
    cues
}

fn segment_cues(segment: &Segment, speaker: Option<String>, label: SpeakerLabel) -> Vec<Cue> {
    let clean = text::clean(&segment.text);
    let measured = MeasuredText::new(&clean);
    let timeline = Timeline::new(segment, &measured);
    let label_width = match label {
        SpeakerLabel::InText => text::width(&text_label(speaker.as_deref())),
        SpeakerLabel::Markup => 0,
    };
    Layout::new(&measured, label_width)
        .captions(&timeline)
        .into_iter()
        .map(|caption| Cue {
            start: timeline.start_at(caption.text.start),
            end: timeline.end_at(caption.text.end),
            speaker: speaker.clone(),
            lines: caption.lines.into_iter().map(|line| clean[line].to_owned()).collect(),
        })
        .collect()
}

/// Sorts the cues of one channel by start and extends each to the time it takes to read, but not past
/// the start of the next.
fn adjust_times(cues: &mut [Cue]) {
    cues.sort_by_key(|cue| cue.start);
    for next in 1..cues.len() {
        let previous = cues[next - 1].start;
        let end = cues[next].end.max(cues[next].start + MIN_CUE_MS);
        let earliest = previous + (end.saturating_sub(previous) / 2).clamp(1, MIN_SEPARATION_MS);
        cues[next].start = cues[next].start.max(earliest);
    }
    for index in 0..cues.len() {
        let next_start = cues.get(index + 1).map_or(u64::MAX, |next| next.start);
        let cue = &mut cues[index];
        let columns: usize = cue.lines.iter().map(|line| text::width(line)).sum();
        let to_read = (columns as u64 * 1000 / READING_SPEED).max(MIN_CUE_MS);
        let spoken = cue.end.saturating_sub(cue.start);
        cue.end = (cue.start + spoken.max(to_read).min(MAX_CUE_MS)).min(next_start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start: u64, end: u64, text: &str) -> Cue {
        Cue { start, end, speaker: None, lines: vec![text.to_owned()] }
    }

    fn adjusted(mut cues: Vec<Cue>) -> Vec<(u64, u64)> {
        adjust_times(&mut cues);
        cues.into_iter().map(|cue| (cue.start, cue.end)).collect()
    }

    #[test]
    fn a_short_cue_is_shown_for_a_second_unless_the_next_one_starts() {
        assert_eq!(
            adjusted(vec![cue(0, 300, "Yes."), cue(5000, 5200, "No.")]),
            [(0, 1000), (5000, 6000)]
        );
        assert_eq!(
            adjusted(vec![cue(0, 300, "Yes."), cue(600, 1900, "No.")]),
            [(0, 600), (600, 1900)]
        );
    }

    #[test]
    fn a_cue_spoken_too_fast_to_read_is_shown_longer() {
        assert_eq!(adjusted(vec![cue(0, 1000, &"a".repeat(40))]), [(0, 2000)]);
        assert_eq!(adjusted(vec![cue(0, 60_000, "Well")]), [(0, 7000)]);
    }

    #[test]
    fn overlapping_and_unordered_cues_are_sorted_and_separated() {
        assert_eq!(
            adjusted(vec![cue(4000, 8000, "b"), cue(0, 5000, "a")]),
            [(0, 4000), (4000, 8000)]
        );
        assert_eq!(
            adjusted(vec![cue(0, 0, "a"), cue(0, 0, "b"), cue(0, 3000, "c")]),
            [(0, 200), (200, 400), (400, 3000)]
        );
    }
}
