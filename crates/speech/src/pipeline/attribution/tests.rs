use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::fixtures;

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
    for border in [1.25, 1.4, 1.6, 1.85] {
        let turns = [turn(-0.1, border, 0), turn(border, 3.3, 1)];
        assert_eq!(shown(vec![spoken(0.0, text)], &turns), expected, "{border}");
    }
}

#[test]
fn a_change_moves_to_a_pause() {
    let text = "i have no idea | what about you then";
    let expected = said(&[(0, "i have no idea"), (1, "what about you then")]);
    for border in [1.25, 1.6, 2.2, 2.75] {
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

#[derive(Deserialize)]
struct Conversation {
    name: String,
    segments: Vec<Recognized>,
    /// Start, end and speaker.
    turns: Vec<(f64, f64, usize)>,
}

#[derive(Deserialize)]
struct Recognized {
    text: String,
    /// Start, end and text.
    words: Vec<(f64, f64, String)>,
}

impl Conversation {
    fn segments(&self) -> Vec<Segment> {
        let segment = |Recognized { text, words }: &Recognized| Segment {
            start: words.first().map_or(0.0, |word| word.0),
            end: words.last().map_or(0.0, |word| word.1),
            text: text.clone(),
            language: Some("en".to_owned()),
            words: words
                .iter()
                .map(|&(start, end, ref text)| Word {
                    start,
                    end,
                    text: text.clone(),
                    ..Word::default()
                })
                .collect(),
            ..Segment::default()
        };
        self.segments.iter().map(segment).collect()
    }

    /// Returns the turns, with borders moved by up to `seconds`, a different way for each `seed`.
    fn turns(&self, seconds: f64, seed: u64) -> Vec<Turn> {
        let mut state = seed;
        let mut moved = |time: f64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            time + seconds * (2.0 * unit - 1.0)
        };
        let turns = self.turns.iter();
        turns.map(|&(start, end, speaker)| turn(moved(start), moved(end), speaker)).collect()
    }

    /// Returns how many words go to somebody who speaks for less than half as long as another one does, and how many
    /// words there are.
    fn wrong_words(&self, turns: &[Turn]) -> (usize, usize) {
        let truth = Voice::all(&self.turns(0.0, 0));
        let (mut wrong, mut all) = (0, 0);
        for part in attribute(self.segments(), turns) {
            for word in &part.words {
                let (start, end) = (word.start, word.end);
                let unit = Unit { segment: 0, word: 0, start, end, change: 0.0 };
                let seconds = |voice: &Voice| voice.seconds(&unit);
                let most = truth.iter().map(seconds).fold(0.0, f64::max);
                let own = truth.iter().find(|voice| Some(voice.speaker) == part.speaker);
                all += 1;
                wrong += usize::from(own.map_or(0.0, seconds) < most / 2.0);
            }
        }
        (wrong, all)
    }
}

#[test]
fn words_of_conversations_go_to_who_says_them() {
    let conversations: Vec<Conversation> = fixtures::json("speakers/attribution.json");
    assert_eq!(conversations.len(), 2);
    for conversation in conversations {
        let (wrong, all) = conversation.wrong_words(&conversation.turns(0.0, 0));
        assert!(all > 70, "{all}");
        assert_eq!(wrong, 0, "{}", conversation.name);
        // Also where the turns are as inexact as those of a diarizer.
        let (mut wrong, mut all) = (0, 0);
        for seed in 1..=20 {
            let found = conversation.wrong_words(&conversation.turns(0.4, seed));
            wrong += found.0;
            all += found.1;
        }
        assert!(wrong * 100 <= all, "{}: {wrong} of {all}", conversation.name);
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
    let text =
        prop_oneof!["[a-z]{1,5}[.,?]?", "[你好今天]{1,2}[。，]?", "[\u{200b} ]", "“[A-Z]{1,3}”"];
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
    texts.flat_map(|text| text.chars().collect::<Vec<_>>()).filter(|c| !c.is_whitespace()).collect()
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
