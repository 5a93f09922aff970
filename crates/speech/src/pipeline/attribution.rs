//! Who says which word: words and segments take their speaker from turns.
//!
//! Turns and words are found by different models, and their times differ by a few tenths of a second. If each
//! word took its speaker on its own, the first or last word of a sentence would often go to somebody else. So
//! the speakers of all words of a channel are chosen together, as the cheapest sequence (Viterbi): a word costs
//! the seconds in which its speaker is not active, and a change of speakers costs little where a sentence ends
//! or somebody pauses, and more in the middle of a sentence.

use transcript::{Ending, Segment, Word};

use super::sentences::geometric_mean;
use crate::speakers::Turn;

/// Cost in seconds of a change of speakers, wherever it is.
const CHANGE: f64 = 0.05;
/// What a change costs more after a clause, where nobody pauses.
const CHANGE_AFTER_CLAUSE: f64 = 0.15;
/// What a change costs more between words of a clause, where nobody pauses.
const CHANGE_IN_CLAUSE: f64 = 0.35;
/// Pause in seconds at which it does not matter whether a sentence ends.
const LONG_PAUSE: f64 = 0.6;
/// Cost per second of distance between a word and the nearest turn of its speaker.
const DISTANCE: f64 = 0.1;
/// Distance in seconds between words and turns at which a turn says nothing of a word.
const FAR: f64 = 2.0;
/// Duration in seconds of words that have less.
const SHORTEST_WORD: f64 = 0.1;
/// Latest time in seconds, ten thousand hours: no recording is that long.
const LATEST: f64 = 36e6;

/// Gives the segments of a channel, and their words, the speakers of `turns`. A segment is divided where the
/// speaker changes. Words during which two people speak name the second.
///
/// Segments are in order of start; `turns` are in any order and may overlap. Takes time in proportion to
/// the number of words and to that of the speakers. Segments far from any turn have no speaker.
pub(super) fn attribute(segments: Vec<Segment>, turns: &[Turn]) -> Vec<Segment> {
    let voices = Voice::all(turns);
    if voices.is_empty() {
        return segments;
    }
    let texts: Vec<Option<Vec<String>>> = segments.iter().map(Segment::text_by_word).collect();
    let units = units(&segments, &texts);
    let path = cheapest_path(&units, &voices);
    let mut parts = Vec::with_capacity(segments.len());
    let mut rest = units.iter().zip(path).peekable();
    for (index, (segment, texts)) in segments.into_iter().zip(texts).enumerate() {
        let mut of_segment = Vec::new();
        while let Some(unit) = rest.next_if(|(unit, _)| unit.segment == index) {
            of_segment.push(unit);
        }
        let is_near = |unit: &Unit| voices.iter().any(|voice| voice.distance(unit) < FAR);
        match (texts, &of_segment[..]) {
            (_, of_segment) if !of_segment.iter().any(|(unit, _)| is_near(unit)) => {
                parts.push(segment);
            }
            (Some(texts), _) => divide(segment, &texts, &of_segment, &voices, &mut parts),
            (None, of_segment) => {
                let speaker = of_segment.first().map(|&(_, voice)| voices[voice].speaker);
                parts.push(Segment { speaker, ..segment });
            }
        }
    }
    parts
}

/// What has one speaker: a word, or a segment whose text cannot be divided among words.
#[derive(Debug)]
struct Unit {
    /// Index of the segment.
    segment: usize,
    /// Index of the word in the segment.
    word: usize,
    /// Seconds from the start of the recording; finite.
    start: f64,
    /// After `start`; finite.
    end: f64,
    /// Cost of a change of speakers before it.
    change: f64,
}

/// Returns the units of the segments in order. Words without visible text are none: they belong to the word
/// before them.
fn units(segments: &[Segment], texts: &[Option<Vec<String>>]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut last: Option<(&str, Option<&str>)> = None;
    let mut add = |segment: usize, word: usize, (start, end): (f64, f64), text| {
        let language = segments[segment].language.as_deref();
        let before = units.last().map_or(0.0, |unit| unit.end);
        let start = if start.is_finite() { start.clamp(0.0, LATEST) } else { before };
        // `max` takes NaN for the least number.
        let end = end.max(start + SHORTEST_WORD).min(LATEST + SHORTEST_WORD);
        let ending = last.and_then(|(last, language)| transcript::ending(last, text, language));
        let change = change_cost(ending, start - before);
        units.push(Unit { segment, word, start, end, change });
        last = Some((text, language));
    };
    for (index, (segment, texts)) in segments.iter().zip(texts).enumerate() {
        match texts {
            Some(texts) => {
                for (number, (word, text)) in segment.words.iter().zip(texts).enumerate() {
                    if !text.is_empty() {
                        add(index, number, (word.start, word.end), text.trim());
                    }
                }
            }
            None => add(index, 0, (segment.start, segment.end), segment.text.trim()),
        }
    }
    units
}

/// Returns the cost of a change of speakers after a text that ends so, and before a pause.
fn change_cost(ending: Option<Ending>, pause: f64) -> f64 {
    let more = match ending {
        Some(Ending::Sentence) => 0.0,
        Some(Ending::Clause) => CHANGE_AFTER_CLAUSE,
        Some(Ending::Bound) | None => CHANGE_IN_CLAUSE,
    };
    CHANGE + more * (1.0 - pause / LONG_PAUSE).clamp(0.0, 1.0)
}

/// Returns the index of the voice of each unit.
fn cheapest_path(units: &[Unit], voices: &[Voice]) -> Vec<usize> {
    let mut costs = vec![0.0; voices.len()];
    // For each unit, the cheapest voice before it, and for each of its voices whether it continues.
    let mut cheapest = Vec::with_capacity(units.len());
    let mut continues = Vec::with_capacity(units.len() * voices.len());
    for unit in units {
        let before = least(&costs);
        let after_change = costs[before] + unit.change;
        cheapest.push(before);
        for (cost, voice) in costs.iter_mut().zip(voices) {
            continues.push(*cost <= after_change);
            *cost = cost.min(after_change) + voice.cost(unit);
        }
        // Only differences matter: sums of ten hours would lose digits.
        let lowest = costs[least(&costs)];
        costs.iter_mut().for_each(|cost| *cost -= lowest);
    }
    let mut voice = least(&costs);
    let mut path: Vec<usize> = (0..units.len())
        .rev()
        .map(|index| {
            let chosen = voice;
            if !continues[index * voices.len() + voice] {
                voice = cheapest[index];
            }
            chosen
        })
        .collect();
    path.reverse();
    path
}

/// Returns the index of the first of the least costs.
fn least(costs: &[f64]) -> usize {
    let (index, _) = costs.iter().enumerate().fold((0, f64::INFINITY), |best, (index, &cost)| {
        if cost < best.1 { (index, cost) } else { best }
    });
    index
}

/// Divides a segment where the speaker changes. `units`: its visible words and the indices of their voices;
/// at least one.
fn divide(
    mut segment: Segment,
    texts: &[String],
    units: &[(&Unit, usize)],
    voices: &[Voice],
    parts: &mut Vec<Segment>,
) {
    for &(unit, voice) in units {
        if let Some(word) = segment.words.get_mut(unit.word) {
            word.other_speaker = other_speaker(unit, voice, voices);
        }
    }
    let runs: Vec<_> = units.chunk_by(|a, b| a.1 == b.1).collect();
    let speaker = |run: &[(&Unit, usize)]| run.first().map(|&(_, voice)| voices[voice].speaker);
    if let [run] = runs[..] {
        parts.push(Segment { speaker: speaker(run), ..segment });
        return;
    }
    let begins = |run: &&[(&Unit, usize)]| run.first().map_or(0, |(unit, _)| unit.word);
    // Words without visible text at the beginning belong to the first part.
    let mut bounds: Vec<usize> = runs.iter().map(begins).collect();
    (bounds[0], segment.speaker) = (0, None);
    bounds.push(segment.words.len());
    let mut words = std::mem::take(&mut segment.words).into_iter();
    let mut time = segment.start;
    for (index, (run, bounds)) in runs.iter().zip(bounds.windows(2)).enumerate() {
        let words: Vec<Word> = words.by_ref().take(bounds[1] - bounds[0]).collect();
        let (first, last) = (index == 0, index + 1 == runs.len());
        let start = if first { segment.start } else { run[0].0.start.max(time) };
        let end = if last { segment.end } else { run[run.len() - 1].0.end };
        let end = end.max(start);
        time = start;
        parts.push(Segment {
            start,
            end,
            speaker: speaker(run),
            text: texts[bounds[0]..bounds[1]].concat().trim().to_owned(),
            confidence: geometric_mean(&words).unwrap_or(segment.confidence),
            event: segment.event.take(),
            words,
            ..segment.clone()
        });
    }
}

/// Returns who else speaks for at least half of the time of a word, together with its own speaker.
fn other_speaker(unit: &Unit, voice: usize, voices: &[Voice]) -> Option<u32> {
    let half = (unit.end - unit.start) / 2.0;
    let own = voices[voice].seconds(unit);
    let others = voices.iter().enumerate().filter(|&(other, _)| other != voice);
    let seconds = others.map(|(_, other)| (other.speaker, other.seconds(unit)));
    let (speaker, seconds) =
        seconds.fold(
            (None, 0.0),
            |best, (speaker, seconds)| {
                if seconds > best.1 { (Some(speaker), seconds) } else { best }
            },
        );
    // Two that speak for so long in all speak together for at least half of the time.
    speaker.filter(|_| own + seconds >= 3.0 * half)
}

/// The turns of one speaker.
#[derive(Debug)]
struct Voice {
    speaker: u32,
    /// In order and apart; at least one.
    spans: Vec<Span>,
}

/// A time in which somebody speaks, in seconds from the start of the recording.
#[derive(Debug)]
struct Span {
    start: f64,
    end: f64,
    /// Seconds for which the speaker has spoken before.
    before: f64,
}

impl Voice {
    /// Returns the voices of the turns in order of the speakers' numbers. Turns without a duration, and those
    /// whose times are not finite, are left out.
    fn all(turns: &[Turn]) -> Vec<Self> {
        let valid =
            |turn: &&Turn| turn.start.is_finite() && turn.end.is_finite() && turn.start < turn.end;
        let mut turns: Vec<&Turn> = turns.iter().filter(valid).collect();
        turns.sort_by(|a, b| a.speaker.cmp(&b.speaker).then(a.start.total_cmp(&b.start)));
        let of_speakers = turns.chunk_by(|a, b| a.speaker == b.speaker);
        of_speakers.map(Self::of).collect()
    }

    /// Joins the turns of a speaker where they touch.
    fn of(turns: &[&Turn]) -> Self {
        let speaker = turns.first().map_or(0, |turn| turn.speaker);
        let mut spans: Vec<Span> = Vec::with_capacity(turns.len());
        for &&Turn { start, end, .. } in turns {
            match spans.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                last => {
                    let before = last.map_or(0.0, |last| last.before + last.end - last.start);
                    spans.push(Span { start, end, before });
                }
            }
        }
        Self { speaker: u32::try_from(speaker).unwrap_or(u32::MAX), spans }
    }

    /// Returns what it costs if this is the voice of a unit.
    fn cost(&self, unit: &Unit) -> f64 {
        unit.end - unit.start - self.seconds(unit) + DISTANCE * self.distance(unit).min(FAR)
    }

    /// Returns for how many seconds of a unit the speaker speaks.
    fn seconds(&self, unit: &Unit) -> f64 {
        self.seconds_until(unit.end) - self.seconds_until(unit.start)
    }

    fn seconds_until(&self, time: f64) -> f64 {
        let begun = self.spans.partition_point(|span| span.start < time);
        self.spans[..begun].last().map_or(0.0, |last| last.before + last.end.min(time) - last.start)
    }

    /// Returns the seconds between a unit and the nearest turn of the speaker; 0 where they overlap.
    fn distance(&self, unit: &Unit) -> f64 {
        let ended = self.spans.partition_point(|span| span.end < unit.start);
        let before = self.spans[..ended].last().map_or(f64::INFINITY, |last| unit.start - last.end);
        let next = self.spans.get(ended).map_or(f64::INFINITY, |next| next.start - unit.end);
        before.min(next).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(start: f64, end: f64, speaker: usize) -> Turn {
        Turn { start, end, speaker }
    }

    /// A segment of words of 0.3 s, each of which begins 0.1 s after the last one; `|` stands for a pause of a second.
    fn spoken(start: f64, text: &str) -> Segment {
        let mut time = start;
        let mut words = Vec::new();
        for text in text.split(' ') {
            if text == "|" {
                time += 0.9;
                continue;
            }
            let text = text.to_owned();
            words.push(Word { start: time, end: time + 0.3, text, ..Word::default() });
            time += 0.4;
        }
        Segment {
            start,
            end: words.last().map_or(start, |word| word.end),
            text: text.replace("| ", ""),
            confidence: 0.5,
            words,
            ..Segment::default()
        }
    }

    fn shown(segments: Vec<Segment>, turns: &[Turn]) -> Vec<(Option<u32>, String)> {
        let parts = attribute(segments, turns);
        parts.into_iter().map(|part| (part.speaker, part.text)).collect()
    }

    fn said(parts: &[(u32, &str)]) -> Vec<(Option<u32>, String)> {
        parts.iter().map(|&(speaker, text)| (Some(speaker), text.to_owned())).collect()
    }

    #[test]
    fn a_segment_is_divided_where_the_speaker_changes() {
        let mut segment = spoken(1.0, "Yes, I do. | (Really?) | So do I.");
        segment.event = Some("laughter".to_owned());
        segment.language = Some("en".to_owned());
        segment.words[1].confidence = Some(0.25);
        let turns = [turn(0.9, 2.2, 0), turn(3.1, 3.6, 1), turn(4.4, 6.0, 0)];
        let parts = attribute(vec![segment], &turns);
        let shown: Vec<_> = parts
            .iter()
            .map(|part| (part.speaker, &*part.text, part.words.len(), part.event.is_some()))
            .collect();
        let expected = [
            (Some(0), "Yes, I do.", 3, true),
            (Some(1), "(Really?)", 1, false),
            (Some(0), "So do I.", 3, false),
        ];
        assert_eq!(shown, expected);
        assert!(parts.iter().all(|part| part.language.as_deref() == Some("en")));
        let times: Vec<_> = parts.iter().map(|part| (part.start, part.end)).collect();
        let words: Vec<_> =
            parts.iter().map(|p| (p.words[0].start, p.words[p.words.len() - 1].end)).collect();
        assert_eq!(times, words);
    }

    #[test]
    fn a_change_moves_to_the_end_of_the_sentence() {
        // Words from 0.0 to 1.5 and from 1.6 to 3.1.
        let text = "I have no idea. What about you then?";
        let expected = said(&[(0, "I have no idea."), (1, "What about you then?")]);
        for border in [1.0, 1.2, 1.4, 1.6, 1.8, 2.0] {
            let turns = [turn(-0.1, border, 0), turn(border, 3.3, 1)];
            assert_eq!(shown(vec![spoken(0.0, text)], &turns), expected, "{border}");
        }
    }

    #[test]
    fn a_change_moves_to_a_pause() {
        let text = "i have no idea | what about you then";
        let expected = said(&[(0, "i have no idea"), (1, "what about you then")]);
        for border in [1.2, 1.6, 2.2, 2.7] {
            let turns = [turn(-0.1, border, 0), turn(border, 4.0, 1)];
            assert_eq!(shown(vec![spoken(0.0, text)], &turns), expected, "{border}");
        }
    }

    #[test]
    fn who_interrupts_clearly_is_heard() {
        let text = "so I was going to say that no wait a minute it is wrong";
        let turns = [turn(0.0, 2.8, 0), turn(2.7, 5.6, 1)];
        let parts = [(0, "so I was going to say that"), (1, "no wait a minute it is wrong")];
        assert_eq!(shown(vec![spoken(0.0, text)], &turns), said(&parts));
        // But a word whose turn is hardly there is not another one's.
        let turns = [turn(0.0, 2.8, 0), turn(2.85, 3.0, 1), turn(3.1, 5.6, 0)];
        assert_eq!(shown(vec![spoken(0.0, text)], &turns), said(&[(0, text)]));
        // A short answer between sentences is.
        let text = "Is it Monday? Yes. Then I come.";
        let turns = [turn(0.0, 1.1, 0), turn(1.2, 1.55, 1), turn(1.6, 2.8, 0)];
        let parts = said(&[(0, "Is it Monday?"), (1, "Yes."), (0, "Then I come.")]);
        assert_eq!(shown(vec![spoken(0.0, text)], &turns), parts);
    }

    #[test]
    fn words_in_overlap_name_the_second_speaker() {
        let turns = [turn(0.0, 3.0, 3), turn(1.55, 2.35, 7)];
        let parts = attribute(vec![spoken(0.0, "I have no idea what about you")], &turns);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].speaker, Some(3));
        let others: Vec<_> = parts[0].words.iter().map(|word| word.other_speaker).collect();
        assert_eq!(others, [None, None, None, None, Some(7), Some(7), None]);
        assert!(parts[0].words.iter().all(|word| word.speaker.is_none()));
    }

    #[test]
    fn a_text_that_is_not_that_of_its_words_is_not_divided() {
        let mut edited = spoken(0.0, "twenty three and so on");
        edited.text = "23 and so on".to_owned();
        let whole = Segment { words: Vec::new(), ..spoken(2.0, "no words here") };
        let turns = [turn(0.0, 1.4, 0), turn(1.4, 2.4, 1), turn(2.4, 3.0, 0)];
        let parts = said(&[(0, "23 and so on"), (0, "no words here")]);
        assert_eq!(shown(vec![edited, whole.clone()], &turns), parts);
        assert_eq!(shown(vec![whole], &turns[1..2]), said(&[(1, "no words here")]));
    }

    #[test]
    fn far_from_turns_nobody_is_known() {
        let segments = || vec![spoken(0.0, "Yes."), spoken(10.0, "No."), spoken(20.0, "Well.")];
        let found = |turns: &[Turn]| -> Vec<Option<u32>> {
            attribute(segments(), turns).into_iter().map(|part| part.speaker).collect()
        };
        assert_eq!(found(&[turn(1.0, 2.0, 4), turn(11.0, 18.5, 2)]), [Some(4), Some(2), Some(2)]);
        assert_eq!(found(&[turn(4.0, 5.0, 4)]), [None; 3]);
        for none in [&[][..], &[turn(f64::NAN, 1.0, 0), turn(0.3, 0.3, 1), turn(0.5, 0.1, 0)]] {
            assert_eq!(attribute(segments(), none), segments());
        }
    }

    /// What [`Voice::seconds`] finds fast.
    fn plain_seconds(turns: &[Turn], speaker: usize, unit: &Unit) -> f64 {
        let mut edges: Vec<f64> = turns.iter().flat_map(|turn| [turn.start, turn.end]).collect();
        edges.extend([unit.start, unit.end]);
        edges.sort_by(f64::total_cmp);
        let inside = |from: f64, to: f64, time: f64| from <= time && time < to;
        let pieces = edges.windows(2).filter(|piece| {
            let middle = (piece[0] + piece[1]) / 2.0;
            inside(unit.start, unit.end, middle)
                && turns
                    .iter()
                    .any(|turn| turn.speaker == speaker && inside(turn.start, turn.end, middle))
        });
        pieces.map(|piece| piece[1] - piece[0]).sum()
    }

    fn hostile_seconds() -> impl Strategy<Value = f64> {
        prop_oneof![
            12 => 0.0..12.0,
            1 => proptest::sample::select(vec![
                f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -1.0, 0.0, 1e300, f64::MAX,
            ]),
        ]
    }

    fn hostile_segment() -> impl Strategy<Value = Segment> {
        let text = prop_oneof![
            "[a-z]{1,5}[.,?]?",
            "[你好今天]{1,2}[。，]?",
            "[\u{200b} ]",
            "“[A-Z]{1,3}”"
        ];
        let word = (text, hostile_seconds(), 0.0..0.5).prop_map(|(text, start, seconds)| Word {
            text,
            start,
            end: start + seconds,
            ..Word::default()
        });
        let words = proptest::collection::vec(word, 0..12);
        (words, hostile_seconds(), hostile_seconds(), any::<bool>(), proptest::bool::weighted(0.1))
            .prop_map(|(words, start, end, spaced, edited)| {
                let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                let mut text = texts.join(if spaced { " " } else { "" });
                if edited {
                    text.push_str(" 23");
                }
                Segment { start, end, text, words, ..Segment::default() }
            })
    }

    fn hostile_turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = (hostile_seconds(), hostile_seconds(), 0..4_usize)
            .prop_map(|(start, end, speaker)| Turn { start, end, speaker });
        proptest::collection::vec(turn, 0..12)
    }

    fn without_space(texts: impl Iterator<Item = String>) -> String {
        texts
            .flat_map(|text| text.chars().collect::<Vec<_>>())
            .filter(|c| !c.is_whitespace())
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved(
            segments in proptest::collection::vec(hostile_segment(), 0..5),
            turns in hostile_turns(),
        ) {
            let parts = attribute(segments.clone(), &turns);
            let words = |segments: &[Segment]| -> Vec<(String, u64, u64)> {
                let words = segments.iter().flat_map(|segment| &segment.words);
                words.map(|w| (w.text.clone(), w.start.to_bits(), w.end.to_bits())).collect()
            };
            prop_assert_eq!(words(&parts), words(&segments));
            let text = |segments: &[Segment]| {
                let visible = |c: &char| *c != '\u{200b}';
                let text = without_space(segments.iter().map(|segment| segment.text.clone()));
                text.chars().filter(visible).collect::<String>()
            };
            prop_assert_eq!(text(&parts), text(&segments));
            let speakers: Vec<u32> = turns.iter().map(|turn| turn.speaker as u32).collect();
            for part in &parts {
                prop_assert!(part.speaker.is_none_or(|speaker| speakers.contains(&speaker)));
                for word in &part.words {
                    prop_assert!(word.other_speaker.is_none_or(|other| Some(other) != part.speaker));
                }
            }
            // Segments that are as they should be remain so.
            let is_valid = |segment: &&Segment| segment.start <= segment.end;
            if segments.iter().all(|segment| is_valid(&segment)) {
                prop_assert!(parts.iter().all(|part| is_valid(&part)), "{parts:?}");
            }
        }

        #[test]
        fn activity_is_that_of_the_plain_sum(
            turns in proptest::collection::vec((0.0..9.0, 0.01..3.0, 0..3_usize), 1..10),
            start in 0.0..10.0,
            seconds in 0.1..3.0,
        ) {
            let turns: Vec<Turn> = turns.into_iter().map(|(start, seconds, speaker)| turn(start, start + seconds, speaker)).collect();
            let unit = Unit { segment: 0, word: 0, start, end: start + seconds, change: 0.0 };
            for voice in Voice::all(&turns) {
                let speaker = voice.speaker as usize;
                prop_assert!((voice.seconds(&unit) - plain_seconds(&turns, speaker, &unit)).abs() < 1e-9);
                let of_speaker = turns.iter().filter(|turn| turn.speaker == speaker);
                let apart = |turn: &Turn| (turn.start - unit.end).max(unit.start - turn.end).max(0.0);
                let nearest = of_speaker.map(apart).fold(f64::INFINITY, f64::min);
                prop_assert!((voice.distance(&unit) - nearest).abs() < 1e-9);
            }
        }

        /// The path is as cheap as the cheapest of all paths.
        #[test]
        fn the_path_is_the_cheapest(
            spans in proptest::collection::vec((0.0..0.6, 0.1..0.5, 0.0..0.5), 1..6),
            turns in proptest::collection::vec((0.0..4.0, 0.1..2.0, 0..3_usize), 1..6),
        ) {
            let turns: Vec<Turn> = turns.into_iter().map(|(start, seconds, speaker)| turn(start, start + seconds, speaker)).collect();
            let voices = Voice::all(&turns);
            let mut time = 0.0;
            let units: Vec<Unit> = spans.into_iter().map(|(pause, seconds, change)| {
                let start = time + pause;
                time = start + seconds;
                Unit { segment: 0, word: 0, start, end: time, change }
            }).collect();
            let cost = |path: &[usize]| -> f64 {
                let of_units: f64 = path.iter().zip(&units).map(|(&v, unit)| voices[v].cost(unit)).sum();
                let changes = path.windows(2).zip(&units[1..]).filter(|(pair, _)| pair[0] != pair[1]);
                of_units + changes.map(|(_, unit)| unit.change).sum::<f64>()
            };
            let found = cost(&cheapest_path(&units, &voices));
            let paths = voices.len().pow(units.len() as u32);
            for number in 0..paths {
                let path: Vec<usize> = (0..units.len() as u32).map(|at| number / voices.len().pow(at) % voices.len()).collect();
                prop_assert!(found <= cost(&path) + 1e-9);
            }
        }
    }
}
