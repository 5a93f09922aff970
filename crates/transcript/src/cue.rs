//! Cues: captions with their times, for all subtitle formats.

use std::collections::BTreeMap;

use crate::{
    SubtitleOptions, Transcript,
    breaks::Context,
    layout::{Layout, READING_LAG_MS},
    passage::{Passage, passages},
    text::{self, MeasuredText},
    timeline::Timeline,
};

/// Gap in milliseconds that is closed to the minimum: it would be seen as a flicker. Netflix's timing guidelines
/// leave gaps of half a second and more ("chaining"); the BBC (section 4.5) would close those of less than
/// a second, but by then the speaker has paused.
const CLOSED_GAP_MS: u64 = 500;
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
    /// Lines of cleaned text, at least one and none empty.
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
/// start. Each has the words of one speaker.
pub(crate) fn cues(
    transcript: &Transcript,
    label: SpeakerLabel,
    options: &SubtitleOptions,
) -> Vec<Cue> {
    let segments = &transcript.segments;
    let mut channels: BTreeMap<(Option<u32>, Option<u32>), Vec<usize>> = BTreeMap::new();
    for (index, segment) in segments.iter().enumerate() {
        channels.entry((segment.track, segment.channel)).or_default().push(index);
    }
    let mut cues: Vec<Cue> = Vec::new();
    for indices in channels.values() {
        let of_channel = passages(segments, indices)
            .into_iter()
            .flat_map(|passage| passage_cues(transcript, &passage, label, options));
        let mut of_channel: Vec<Cue> = of_channel.collect();
        adjust_times(&mut of_channel, options);
        cues.append(&mut of_channel);
    }
    cues.sort_by_key(|cue| cue.start);
    cues
}

fn passage_cues(
    transcript: &Transcript,
    passage: &Passage,
    label: SpeakerLabel,
    options: &SubtitleOptions,
) -> Vec<Cue> {
    let measured = MeasuredText::new(&passage.text);
    let timeline = Timeline::new(&measured, &passage.spans);
    let segment = transcript.segments.get(passage.segment);
    let speaker = segment.and_then(|segment| transcript.voice_of(segment, passage.speaker));
    let label_width = match label {
        SpeakerLabel::InText => text::width(&text_label(speaker.as_deref())),
        SpeakerLabel::Markup => 0,
    };
    let context = Context { language: passage.language.as_deref(), borders: &passage.borders };
    Layout::new(&measured, &timeline, context, label_width, options)
        .captions()
        .into_iter()
        .map(|caption| Cue {
            start: timeline.start_at(caption.text.start),
            end: timeline.end_at(caption.text.end),
            speaker: speaker.clone(),
            lines: caption.lines.into_iter().map(|line| passage.text[line].to_owned()).collect(),
        })
        .collect()
}

/// Sorts the cues of one channel by start, separates them, and extends each to the time it takes to read, as
/// far as the next one allows.
fn adjust_times(cues: &mut [Cue], options: &SubtitleOptions) {
    cues.sort_by_key(|cue| cue.start);
    for next in 1..cues.len() {
        let previous = cues[next - 1].start;
        let end = cues[next].end.max(cues[next].start + options.min_duration().max(1));
        let earliest = previous + (end.saturating_sub(previous) / 2).clamp(1, MIN_SEPARATION_MS);
        cues[next].start = cues[next].start.max(earliest);
    }
    for index in 0..cues.len() {
        let next_start = cues.get(index + 1).map(|next| next.start);
        let cue = &mut cues[index];
        // The end of a line is read as a space.
        let columns: usize = cue.lines.iter().map(|line| text::width(line) + 1).sum();
        let columns = columns.saturating_sub(1);
        let spoken = cue.end.max(cue.start + 1);
        let read = (cue.start + options.reading_time(columns)).min(spoken + READING_LAG_MS);
        let latest = cue.start + options.max_duration();
        let wanted = spoken.max(read).max(cue.start + options.min_duration()).min(latest);
        cue.end = match next_start {
            Some(next) => before_next(cue.start, wanted, next, options).min(latest),
            None => wanted,
        };
    }
}

/// Returns the end of a cue that would end at `wanted` if the next one did not start at `next`, after `start`.
fn before_next(start: u64, wanted: u64, next: u64, options: &SubtitleOptions) -> u64 {
    if wanted + options.min_gap().max(CLOSED_GAP_MS) <= next {
        return wanted;
    }
    // Of the time of a very short cue, the gap takes at most half.
    let gap = options.min_gap().min((next - start) / 2);
    next - gap
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start: u64, end: u64, text: &str) -> Cue {
        Cue { start, end, speaker: None, lines: vec![text.to_owned()] }
    }

    fn adjusted(mut cues: Vec<Cue>) -> Vec<(u64, u64)> {
        adjust_times(&mut cues, &SubtitleOptions::default());
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
            [(0, 517), (600, 1900)]
        );
    }

    #[test]
    fn a_cue_spoken_too_fast_to_read_is_shown_longer() {
        assert_eq!(adjusted(vec![cue(0, 1200, &"a".repeat(40))]), [(0, 2000)]);
        // But not for longer than a second after its end.
        assert_eq!(adjusted(vec![cue(0, 1200, &"a".repeat(80))]), [(0, 2200)]);
        assert_eq!(adjusted(vec![cue(0, 60_000, "Well")]), [(0, 7000)]);
    }

    #[test]
    fn the_end_of_a_line_takes_as_long_to_read_as_a_space() {
        let (half, all) = ("a".repeat(20), format!("{0} {0}", "a".repeat(20)));
        let two = Cue { lines: vec![half.clone(), half], ..cue(0, 1500, "") };
        assert_eq!(adjusted(vec![two]), adjusted(vec![cue(0, 1500, &all)]));
    }

    #[test]
    fn pauses_are_kept_and_small_gaps_closed() {
        let after =
            |next| adjusted(vec![cue(0, 2000, "Well, then."), cue(next, next + 2000, "No.")]);
        // As spoken: half a second or more.
        assert_eq!(after(2600)[0], (0, 2000));
        assert_eq!(after(2500)[0], (0, 2000));
        // Less would flicker: two frames.
        assert_eq!(after(2499)[0], (0, 2416));
        assert_eq!(after(2100)[0], (0, 2017));
        assert_eq!(after(2000)[0], (0, 1917));
    }

    #[test]
    fn gaps_have_the_length_that_was_asked_for() -> Result<(), crate::InvalidSubtitleOption> {
        for gap in [0, 40, 700] {
            let options = SubtitleOptions::default().with_min_gap(gap)?;
            let mut cues =
                vec![cue(0, 3000, "Well, then."), cue(3600, 5000, "No."), cue(5000, 6000, "Oh.")];
            adjust_times(&mut cues, &options);
            let ends: Vec<u64> = cues.iter().map(|cue| cue.end).collect();
            assert_eq!(ends, [if gap == 700 { 2900 } else { 3000 }, 5000 - gap, 6000]);
        }
        Ok(())
    }

    #[test]
    fn overlapping_and_unordered_cues_are_sorted_and_separated() {
        assert_eq!(
            adjusted(vec![cue(4000, 8000, "b"), cue(0, 5000, "a")]),
            [(0, 3917), (4000, 8000)]
        );
        assert_eq!(
            adjusted(vec![cue(0, 0, "a"), cue(0, 0, "b"), cue(0, 3000, "c")]),
            [(0, 117), (200, 317), (400, 3000)]
        );
    }
}
