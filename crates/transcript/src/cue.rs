//! Captions with their times, as both subtitle formats need them.

use std::collections::BTreeMap;

use crate::{
    Segment, Transcript,
    layout::{LONGEST, Layout, SHORTEST},
    text::{self, Measured},
    timeline::Timeline,
};

/// Cells a second that most people can read: about 20 letters or 10 full-width characters.
const READING_SPEED: u64 = 20;
/// Milliseconds that a caption keeps even if the next one starts at once: below that nobody sees it.
const FLASH: u64 = 200;

/// What is on the screen for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cue {
    /// Milliseconds from the start of the recording.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Who speaks, if it is known.
    pub(crate) voice: Option<String>,
    /// One or two, cleaned, none empty.
    pub(crate) lines: Vec<String>,
}

/// Whether the speaker's name takes room on a cue's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    InText,
    Apart,
}

/// Before the text of a cue or a paragraph.
pub(crate) fn label_in_text(voice: Option<&str>) -> String {
    voice.map_or_else(String::new, |voice| format!("{voice}: "))
}

/// All cues in order of start. Those of one channel do not overlap, and each ends after its start.
pub(crate) fn cues(transcript: &Transcript, label: Label) -> Vec<Cue> {
    let mut channels: BTreeMap<Option<u32>, Vec<Cue>> = BTreeMap::new();
    for segment in &transcript.segments {
        channels.entry(segment.channel).or_default().extend(segment_cues(segment, label));
    }
    for cues in channels.values_mut() {
        settle(cues);
    }
    let mut cues: Vec<Cue> = channels.into_values().flatten().collect();
    cues.sort_by_key(|cue| cue.start);
    cues
}

fn segment_cues(segment: &Segment, label: Label) -> Vec<Cue> {
    let clean = text::clean(&segment.text);
    let measured = Measured::new(&clean);
    let timeline = Timeline::new(segment, &measured);
    let voice = segment.voice();
    let label_cells = match label {
        Label::InText => text::width(&label_in_text(voice.as_deref())),
        Label::Apart => 0,
    };
    Layout::new(&measured, label_cells)
        .captions(&timeline)
        .into_iter()
        .map(|caption| Cue {
            start: timeline.start_at(caption.text.start),
            end: timeline.end_at(caption.text.end),
            voice: voice.clone(),
            lines: caption.lines.into_iter().map(|line| clean[line].to_owned()).collect(),
        })
        .collect()
}

/// Orders the cues of one channel and gives each the time to be read, as far as the next one lets
/// it.
fn settle(cues: &mut [Cue]) {
    cues.sort_by_key(|cue| cue.start);
    for next in 1..cues.len() {
        let previous = cues[next - 1].start;
        let end = cues[next].end.max(cues[next].start + SHORTEST);
        let earliest = previous + (end.saturating_sub(previous) / 2).clamp(1, FLASH);
        cues[next].start = cues[next].start.max(earliest);
    }
    for index in 0..cues.len() {
        let next_start = cues.get(index + 1).map_or(u64::MAX, |next| next.start);
        let cue = &mut cues[index];
        let cells: usize = cue.lines.iter().map(|line| text::width(line)).sum();
        let to_read = (cells as u64 * 1000 / READING_SPEED).max(SHORTEST);
        let said = cue.end.saturating_sub(cue.start);
        cue.end = (cue.start + said.max(to_read).min(LONGEST)).min(next_start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start: u64, end: u64, text: &str) -> Cue {
        Cue { start, end, voice: None, lines: vec![text.to_owned()] }
    }

    fn settled(mut cues: Vec<Cue>) -> Vec<(u64, u64)> {
        settle(&mut cues);
        cues.into_iter().map(|cue| (cue.start, cue.end)).collect()
    }

    #[test]
    fn a_short_cue_stays_a_second_if_the_next_one_lets_it() {
        assert_eq!(
            settled(vec![cue(0, 300, "Yes."), cue(5000, 5200, "No.")]),
            [(0, 1000), (5000, 6000)]
        );
        assert_eq!(
            settled(vec![cue(0, 300, "Yes."), cue(600, 1900, "No.")]),
            [(0, 600), (600, 1900)]
        );
    }

    #[test]
    fn a_cue_said_too_fast_to_read_stays_longer() {
        assert_eq!(settled(vec![cue(0, 1000, &"a".repeat(40))]), [(0, 2000)]);
        assert_eq!(settled(vec![cue(0, 60_000, "Well")]), [(0, 7000)]);
    }

    #[test]
    fn overlapping_and_unordered_cues_are_put_in_order() {
        assert_eq!(
            settled(vec![cue(4000, 8000, "b"), cue(0, 5000, "a")]),
            [(0, 4000), (4000, 8000)]
        );
        assert_eq!(
            settled(vec![cue(0, 0, "a"), cue(0, 0, "b"), cue(0, 3000, "c")]),
            [(0, 200), (200, 400), (400, 3000)]
        );
    }
}
