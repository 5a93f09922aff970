//! Units: what the page shows and seeks as one, a segment or the part of it in which one person speaks.

use std::ops::Range;

use super::{escape::language_tag, people::People};
use crate::{
    Segment, Transcript, punctuation, text,
    timeline::milliseconds,
    utterances::utterances,
    words::{self, PlacedWord},
};

/// A segment, the part of it in which one person speaks, or an event without speech.
#[derive(Debug, PartialEq)]
pub(super) struct Unit<'a> {
    /// Start in milliseconds from the start of the recording.
    pub(super) start: u64,
    /// End in milliseconds, not before `start`.
    pub(super) end: u64,
    /// Index of the person among [`People`].
    pub(super) person: Option<usize>,
    pub(super) language: Option<&'a str>,
    /// Cleaned text; empty if there is only a note.
    pub(super) text: String,
    /// Event or emotion, if one was recognized.
    pub(super) note: Option<String>,
    /// Probability from 0 to 1.
    pub(super) confidence: f32,
    /// Words in order of text and time; empty if their places in the text are not known.
    pub(super) words: Vec<UnitWord>,
}

/// A word and its place in the text of a unit.
#[derive(Debug, PartialEq)]
pub(super) struct UnitWord {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// Start in milliseconds from the start of the recording.
    pub(super) start: u64,
    /// End in milliseconds, not before `start`.
    pub(super) end: u64,
    /// Probability from 0 to 1.
    pub(super) confidence: f32,
}

/// Returns the units of a transcript in order of start.
pub(super) fn units<'a>(transcript: &'a Transcript, people: &People) -> Vec<Unit<'a>> {
    let segments = transcript.segments.iter();
    let mut units: Vec<Unit<'_>> = segments.flat_map(|segment| units_of(segment, people)).collect();
    units.sort_by_key(|unit| unit.start);
    units
}

fn units_of<'a>(segment: &'a Segment, people: &People) -> Vec<Unit<'a>> {
    let text = text::clean(&segment.text);
    let note = note(segment);
    let mut units = match words::place(&segment.words, &text) {
        Some(placed) => placed_units(segment, &text, &placed, people),
        None => utterances(std::slice::from_ref(segment))
            .map(|utterance| Unit {
                start: utterance.start,
                end: utterance.end,
                text: utterance.text,
                ..unit(segment, people.index(segment, utterance.speaker))
            })
            .collect(),
    };
    match units.first_mut() {
        Some(first) => first.note = note,
        None if note.is_some() => {
            units.push(Unit { note, ..unit(segment, people.index(segment, segment.speaker)) });
        }
        None => {}
    }
    units
}

/// Divides a segment where the speaker of its words changes.
fn placed_units<'a>(
    segment: &'a Segment,
    text: &str,
    placed: &[PlacedWord<'_>],
    people: &People,
) -> Vec<Unit<'a>> {
    let speaker = |placed: &PlacedWord<'_>| placed.word.speaker.or(segment.speaker);
    let runs: Vec<&[PlacedWord<'_>]> = placed.chunk_by(|a, b| speaker(a) == speaker(b)).collect();
    let is_whole = runs.len() == 1;
    let mut units = Vec::with_capacity(runs.len());
    let mut from = 0;
    for (index, run) in runs.iter().enumerate() {
        let next = runs.get(index + 1).and_then(|next| next.first());
        let to = match (run.last(), next) {
            (Some(last), Some(next)) => boundary(text, last.range.end..next.range.start),
            _ => text.len(),
        };
        let mut unit = unit(segment, people.index(segment, run.first().and_then(speaker)));
        unit.words = words(run, unit.start..unit.end);
        if !is_whole {
            unit.start = unit.words.first().map_or(unit.start, |word| word.start);
            unit.end = unit.words.last().map_or(unit.end, |word| word.end);
        }
        let part = &text[from..to];
        let skipped = from + (part.len() - part.trim_start().len());
        for word in &mut unit.words {
            word.range = word.range.start - skipped..word.range.end - skipped;
        }
        unit.text = part.trim().to_owned();
        units.push(unit);
        from = to;
    }
    units
}

/// Returns where the text of the next word begins, of the bytes between two words: marks that open it are part of it.
fn boundary(text: &str, gap: Range<usize>) -> usize {
    let between = &text[gap.clone()];
    match between.rfind(char::is_whitespace) {
        Some(space) => gap.start + space,
        None => gap.start + between.trim_end_matches(punctuation::is_opening).len(),
    }
}

/// Returns the words, kept in order and inside the times of their segment.
fn words(placed: &[PlacedWord<'_>], times: Range<u64>) -> Vec<UnitWord> {
    let mut time = times.start;
    let words = placed.iter().map(|PlacedWord { range, word }| {
        let start = milliseconds(word.start).clamp(time, times.end);
        let end = milliseconds(word.end).clamp(start, times.end);
        time = start;
        UnitWord { range: range.clone(), start, end, confidence: word.confidence.unwrap_or(1.0) }
    });
    words.collect()
}

/// Returns a unit without text, with what all units of a segment share.
fn unit(segment: &Segment, person: Option<usize>) -> Unit<'_> {
    let start = milliseconds(segment.start);
    Unit {
        start,
        end: milliseconds(segment.end).max(start),
        person,
        language: segment.language.as_deref().and_then(language_tag),
        text: String::new(),
        note: None,
        confidence: segment.confidence,
        words: Vec::new(),
    }
}

/// Returns event and emotion in words for people. Neutral speech is not worth a note.
fn note(segment: &Segment) -> Option<String> {
    let event = segment.event.as_deref().map(|event| if event == "bgm" { "music" } else { event });
    let emotion = segment.emotion.as_deref().filter(|emotion| *emotion != "neutral");
    let notes: Vec<String> = [event, emotion].into_iter().flatten().map(text::clean).collect();
    let notes = notes.join(", ");
    (!notes.is_empty()).then_some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    fn word(start: f64, text: &str, speaker: Option<u32>) -> Word {
        Word { start, end: start + 0.5, text: text.to_owned(), speaker, ..Word::default() }
    }

    fn show(units: &[Unit<'_>]) -> Vec<(u64, String, Vec<String>)> {
        let words = |unit: &Unit<'_>| {
            unit.words.iter().map(|word| unit.text[word.range.clone()].to_owned()).collect()
        };
        units.iter().map(|unit| (unit.start, unit.text.clone(), words(unit))).collect()
    }

    #[test]
    fn a_segment_is_divided_where_the_speaker_changes() {
        let segment = Segment {
            start: 1.0,
            end: 5.0,
            speaker: Some(0),
            text: "Yes, I do. “Really?” Yes.".to_owned(),
            words: vec![
                word(1.0, " Yes,", None),
                word(1.5, " I", None),
                word(2.0, " do.", None),
                word(3.0, "Really", Some(1)),
                word(4.0, "Yes", None),
            ],
            ..Segment::default()
        };
        let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let expected = [
            (1000, "Yes, I do.".to_owned(), strings(&["Yes,", "I", "do."])),
            (3000, "“Really?”".to_owned(), strings(&["Really"])),
            (4000, "Yes.".to_owned(), strings(&["Yes"])),
        ];
        assert_eq!(show(&units_of(&segment, &People::default())), expected);
    }

    #[test]
    fn words_of_another_text_have_no_place() {
        let segment = Segment {
            end: 5.0,
            text: "23, yes.".to_owned(),
            words: vec![
                word(1.0, "twenty", None),
                word(1.5, "three", None),
                word(2.0, "yes", None),
            ],
            ..Segment::default()
        };
        let found = show(&units_of(&segment, &People::default()));
        assert_eq!(found, [(0, "23, yes.".to_owned(), Vec::new())]);
    }

    #[test]
    fn an_event_without_speech_is_a_unit() {
        let event = |event: &str, emotion: Option<&str>| Segment {
            event: Some(event.to_owned()),
            emotion: emotion.map(str::to_owned),
            ..Segment::default()
        };
        let notes = |segment: &Segment| {
            units_of(segment, &People::default())
                .into_iter()
                .map(|unit| unit.note)
                .collect::<Vec<_>>()
        };
        assert_eq!(notes(&event("bgm", Some("neutral"))), [Some("music".to_owned())]);
        assert_eq!(notes(&event("laughter", Some("happy"))), [Some("laughter, happy".to_owned())]);
        assert_eq!(notes(&Segment::default()), []);
    }
}
