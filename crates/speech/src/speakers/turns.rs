//! Joins labelled windows to turns, as FunASR's `postprocess`.

/// Minimum length of a turn, in seconds. Shorter ones are assigned to a neighbour's speaker.
const MIN_TURN_SECONDS: f64 = 0.7;
/// Overlap of neighbours that is ignored, in seconds.
const TOLERANCE: f64 = 1e-4;

/// A span in which one speaker talks. Times are seconds from the start of the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    pub start: f64,
    pub end: f64,
    /// Numbered from 0 by first appearance.
    pub speaker: usize,
}

/// Joins `windows`, the start, end and label of each in order of time, to turns. Neighbours with
/// the same label become one turn. Where windows of two speakers overlap, the middle of the overlap
/// separates them.
pub(super) fn turns(windows: impl IntoIterator<Item = (f64, f64, usize)>) -> Vec<Turn> {
    let mut turns = join_touching(windows.into_iter().map(|(start, end, speaker)| Turn {
        start,
        end,
        speaker,
    }));
    for i in 1..turns.len() {
        if turns[i - 1].end > turns[i].start + TOLERANCE {
            let middle = (turns[i].start + turns[i - 1].end) / 2.0;
            turns[i].start = middle;
            turns[i - 1].end = middle;
        }
    }
    smooth(&mut turns);
    renumber_speakers(join_touching(turns))
}

/// Joins neighbours of one speaker that touch or overlap.
fn join_touching(turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
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

/// Rounds times to hundredths, and assigns turns that are too short to the nearer neighbour's
/// speaker.
fn smooth(turns: &mut [Turn]) {
    if turns.len() < 2 {
        return;
    }
    for i in 0..turns.len() {
        turns[i].start = hundredths(turns[i].start);
        turns[i].end = hundredths(turns[i].end);
        let Turn { start, end, .. } = turns[i];
        if end - start >= MIN_TURN_SECONDS {
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

/// Rounds like Python's `round(seconds, 2)`, by the exact decimal value. Multiplying by 100 would
/// add a rounding of its own.
fn hundredths(seconds: f64) -> f64 {
    format!("{seconds:.2}").parse().unwrap_or(seconds)
}

/// Numbers speakers by first appearance.
fn renumber_speakers(mut turns: Vec<Turn>) -> Vec<Turn> {
    let mut seen = Vec::new();
    for turn in &mut turns {
        let index = seen.iter().position(|&speaker| speaker == turn.speaker);
        turn.speaker = index.unwrap_or_else(|| {
            seen.push(turn.speaker);
            seen.len() - 1
        });
    }
    turns
}

/// Returns the speaker who talks most between `start` and `end`; `None` if nobody does. `turns`
/// must be in order and not overlap, as [`super::Diarizer::diarize`] returns them.
pub fn dominant_speaker(turns: &[Turn], start: f64, end: f64) -> Option<usize> {
    // The ends of the turns are in order, too.
    let first = turns.partition_point(|turn| turn.end <= start);
    let mut shares: Vec<(usize, f64)> = Vec::new();
    for turn in turns[first..].iter().take_while(|turn| turn.start < end) {
        let overlap = turn.end.min(end) - turn.start.max(start);
        match shares.iter_mut().find(|(speaker, _)| *speaker == turn.speaker) {
            Some((_, share)) => *share += overlap,
            None => shares.push((turn.speaker, overlap)),
        }
    }
    // The first speaker wins among equal shares.
    let largest = shares.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
    largest.filter(|(_, share)| *share > 0.0).map(|(speaker, _)| speaker)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{fixtures, speakers::chunks};

    #[derive(Deserialize)]
    struct Case {
        /// Start in seconds and length in samples.
        segments: Vec<(f64, usize)>,
        labels: Vec<usize>,
        turns: Vec<(f64, f64, usize)>,
    }

    #[test]
    fn turns_match_funasr() {
        let cases: Vec<Case> = fixtures::json("speakers/turns.json");
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
            // FunASR numbers speakers before it smooths, which may leave a number unused.
            let expected =
                case.turns.iter().map(|&(start, end, speaker)| Turn { start, end, speaker });
            for (found, expected) in found.iter().zip(renumber_speakers(expected.collect())) {
                assert_eq!(found.speaker, expected.speaker);
                assert!((found.start - expected.start).abs() < 1e-9, "{found:?} {expected:?}");
                assert!((found.end - expected.end).abs() < 1e-9, "{found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn finds_the_dominant_speaker() {
        let turn = |start, end, speaker| Turn { start, end, speaker };
        let turns = [turn(0.0, 2.0, 0), turn(2.0, 3.0, 1), turn(3.5, 4.5, 0), turn(6.0, 9.0, 2)];
        for (start, end, speaker) in [
            (0.0, 1.0, Some(0)),
            (1.9, 2.5, Some(1)),
            // Two turns of 0.7 s of speaker 0 are more than 1 s of speaker 1.
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
            assert_eq!(dominant_speaker(&turns, start, end), speaker, "{start} to {end}");
        }
        assert_eq!(dominant_speaker(&[], 0.0, 1.0), None);
    }

    #[test]
    fn accepts_no_window_and_one_window() {
        assert_eq!(turns([]), []);
        let one = Turn { start: 0.123_456, end: 0.2, speaker: 0 };
        assert_eq!(turns([(0.123_456, 0.2, 7)]), [one]);
    }
}
