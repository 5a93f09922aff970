//! From labelled windows to turns: FunASR's `postprocess`.

use serde::Serialize;

/// Turns shorter than this many seconds are given to a neighbour.
const SHORTEST: f64 = 0.7;
/// Seconds by which neighbours may overlap unnoticed.
const TOLERANCE: f64 = 1e-4;

/// One speaker speaks. Times are seconds of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Turn {
    pub start: f64,
    pub end: f64,
    /// Numbered from 0 by first appearance.
    pub speaker: usize,
}

/// `windows`: start, end and label of each window, in order of time. Neighbours of one label become
/// one turn; where windows of two speakers overlap, the middle of the overlap parts them.
pub(super) fn turns(windows: impl IntoIterator<Item = (f64, f64, usize)>) -> Vec<Turn> {
    let mut turns =
        join(windows.into_iter().map(|(start, end, speaker)| Turn { start, end, speaker }));
    for i in 1..turns.len() {
        if turns[i - 1].end > turns[i].start + TOLERANCE {
            let middle = (turns[i].start + turns[i - 1].end) / 2.0;
            turns[i].start = middle;
            turns[i - 1].end = middle;
        }
    }
    smooth(&mut turns);
    number(join(turns))
}

/// Joins neighbours of one speaker that touch or overlap.
fn join(turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::new();
    for turn in turns {
        match joined.last_mut() {
            Some(last) if last.speaker == turn.speaker && turn.start <= last.end => {
                last.end = turn.end;
            }
            _ => joined.push(turn),
        }
    }
    joined
}

/// Rounds times to hundredths, and gives turns that are too short to the nearer neighbour.
fn smooth(turns: &mut [Turn]) {
    if turns.len() < 2 {
        return;
    }
    for i in 0..turns.len() {
        turns[i].start = hundredths(turns[i].start);
        turns[i].end = hundredths(turns[i].end);
        let Turn { start, end, .. } = turns[i];
        if end - start >= SHORTEST {
            continue;
        }
        let before = i.checked_sub(1).map(|before| turns[before]);
        let after = turns.get(i + 1).copied();
        turns[i].speaker = match (before, after) {
            (Some(before), Some(after)) if start - before.end > after.start - end => after.speaker,
            (Some(before), _) => before.speaker,
            (None, Some(after)) => after.speaker,
            (None, None) => continue,
        };
    }
}

/// As Python's `round(seconds, 2)`, which goes by the decimal value; to multiply by 100 would round
/// too.
fn hundredths(seconds: f64) -> f64 {
    format!("{seconds:.2}").parse().unwrap_or(seconds)
}

/// Numbers speakers by first appearance.
fn number(mut turns: Vec<Turn>) -> Vec<Turn> {
    let mut names = Vec::new();
    for turn in &mut turns {
        let known = names.iter().position(|&name| name == turn.speaker);
        turn.speaker = known.unwrap_or_else(|| {
            names.push(turn.speaker);
            names.len() - 1
        });
    }
    turns
}

/// Who speaks most between `start` and `end`; `None` if nobody does. `turns` are as
/// [`super::Diarizer::diarize`] gives them.
pub fn assign(turns: &[Turn], start: f64, end: f64) -> Option<usize> {
    // Turns are in order and do not overlap, so their ends are in order too.
    let first = turns.partition_point(|turn| turn.end <= start);
    let mut shares: Vec<(usize, f64)> = Vec::new();
    for turn in turns[first..].iter().take_while(|turn| turn.start < end) {
        let overlap = turn.end.min(end) - turn.start.max(start);
        match shares.iter_mut().find(|(speaker, _)| *speaker == turn.speaker) {
            Some((_, share)) => *share += overlap,
            None => shares.push((turn.speaker, overlap)),
        }
    }
    // Of equal shares the first.
    let most = shares.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
    most.filter(|(_, share)| *share > 0.0).map(|(speaker, _)| speaker)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::speakers::{chunks, tests::speakers_fixture};

    #[derive(Deserialize)]
    struct Case {
        /// Start in seconds, and length in samples.
        segments: Vec<(f64, usize)>,
        labels: Vec<usize>,
        turns: Vec<(f64, f64, usize)>,
    }

    #[test]
    fn turns_are_those_of_funasr() {
        let cases: Vec<Case> = speakers_fixture("turns.json");
        assert!(cases.len() >= 50);
        for case in cases {
            let windows = case.segments.iter().flat_map(|&(start, length)| {
                chunks::windows(length).map(move |window| {
                    (start + window.start as f64 / 16e3, start + window.end as f64 / 16e3)
                })
            });
            let windows: Vec<_> = windows
                .zip(&case.labels)
                .map(|((start, end), &label)| (start, end, label))
                .collect();
            assert_eq!(windows.len(), case.labels.len());
            let found = turns(windows);
            assert_eq!(found.len(), case.turns.len());
            // FunASR numbers before it smooths, and may thus lose a number.
            let expected =
                case.turns.iter().map(|&(start, end, speaker)| Turn { start, end, speaker });
            for (found, expected) in found.iter().zip(number(expected.collect())) {
                assert_eq!(found.speaker, expected.speaker);
                assert!((found.start - expected.start).abs() < 1e-9, "{found:?} {expected:?}");
                assert!((found.end - expected.end).abs() < 1e-9, "{found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn whoever_speaks_most_is_assigned() {
        let turn = |start, end, speaker| Turn { start, end, speaker };
        let turns = [turn(0.0, 2.0, 0), turn(2.0, 3.0, 1), turn(3.5, 4.5, 0), turn(6.0, 9.0, 2)];
        for (start, end, speaker) in [
            (0.0, 1.0, Some(0)),
            (1.9, 2.5, Some(1)),
            // Twice 0.7 s of speaker 0 are more than 1 s of speaker 1.
            (1.3, 4.2, Some(0)),
            (3.0, 3.5, None),
            (1.5, 2.5, Some(0)),
            (100.0, 101.0, None),
            (-5.0, -1.0, None),
            (7.0, 7.0, None),
            (8.0, 7.0, None),
            (f64::NAN, f64::NAN, None),
            (0.0, f64::INFINITY, Some(0)),
        ] {
            assert_eq!(assign(&turns, start, end), speaker, "{start} to {end}");
        }
        assert_eq!(assign(&[], 0.0, 1.0), None);
    }

    #[test]
    fn nothing_and_one_window_are_turns_too() {
        assert_eq!(turns([]), []);
        let one = Turn { start: 0.123_456, end: 0.2, speaker: 0 };
        assert_eq!(turns([(0.123_456, 0.2, 7)]), [one]);
    }
}
