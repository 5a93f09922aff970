//! Cuts the tokens of one pass into stretches of text at their timestamps.

use std::ops::Range;

/// Mel frames (10 ms) per step of a timestamp (20 ms).
const FRAMES_PER_STEP: usize = 2;

/// A stretch of text between two timestamps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    /// Mel frames from the start of the pass.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Which of the tokens, timestamps included.
    pub(super) tokens: Range<usize>,
}

/// Stretches, and the frames of the pass that are done. `frames`: how many the pass has.
///
/// As OpenAI's (transcribe.py) and faster-whisper's `_split_segments_by_timestamps`: text after the
/// last pair of timestamps is left to the next pass, which begins there. Unlike theirs, a lone
/// stretch begins at its timestamp, not at the start of the pass.
pub(super) fn split(tokens: &[u32], timestamp_begin: u32, frames: usize) -> (Vec<Stretch>, usize) {
    let time = |place: usize| {
        let step = tokens.get(place)?.checked_sub(timestamp_begin)?;
        Some(step as usize * FRAMES_PER_STEP)
    };
    let is_timestamp = |place: usize| time(place).is_some();
    // Between the two timestamps of a pair.
    let mut cuts: Vec<usize> =
        (1..tokens.len()).filter(|&place| is_timestamp(place - 1) && is_timestamp(place)).collect();
    if cuts.is_empty() {
        let begin = time(0).unwrap_or(0);
        let last = (0..tokens.len()).rev().find_map(time);
        let end = last.filter(|&last| last > begin).unwrap_or(frames);
        return (vec![Stretch { begin, end, tokens: 0..tokens.len() }], frames);
    }
    // One timestamp before the end of the text: nothing is left after it.
    let all_done = !is_timestamp(tokens.len() - 2) && is_timestamp(tokens.len() - 1);
    if all_done {
        cuts.push(tokens.len());
    }
    let mut from = 0;
    let stretches = cuts
        .into_iter()
        .map(|to| {
            let begin = time(from).unwrap_or(0);
            let end = time(to - 1).unwrap_or(begin);
            Stretch { begin, end, tokens: std::mem::replace(&mut from, to)..to }
        })
        .collect();
    let done = if all_done { frames } else { time(from - 1).unwrap_or(frames) };
    (stretches, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text below 100, timestamps from 100 on.
    fn cut(tokens: &[u32]) -> (Vec<(usize, usize, Vec<u32>)>, usize) {
        let (stretches, done) = split(tokens, 100, 3000);
        let stretches =
            stretches.into_iter().map(|s| (s.begin, s.end, tokens[s.tokens].to_vec())).collect();
        (stretches, done)
    }

    #[test]
    fn one_stretch_takes_all() {
        assert_eq!(cut(&[110, 1, 2, 150]), (vec![(20, 100, vec![110, 1, 2, 150])], 3000));
        assert_eq!(cut(&[110, 1, 2]), (vec![(20, 3000, vec![110, 1, 2])], 3000));
        assert_eq!(cut(&[1, 2]), (vec![(0, 3000, vec![1, 2])], 3000));
        assert_eq!(cut(&[100]), (vec![(0, 3000, vec![100])], 3000));
        assert_eq!(cut(&[]), (vec![(0, 3000, vec![])], 3000));
    }

    #[test]
    fn pairs_cut_and_a_lone_timestamp_ends() {
        assert_eq!(
            cut(&[100, 1, 150, 150, 2, 200]),
            (vec![(0, 100, vec![100, 1, 150]), (100, 200, vec![150, 2, 200])], 3000)
        );
    }

    #[test]
    fn the_unfinished_rest_is_for_the_next_pass() {
        assert_eq!(cut(&[100, 1, 150, 160, 2]), (vec![(0, 100, vec![100, 1, 150])], 100));
        assert_eq!(
            cut(&[100, 1, 150, 150, 2, 200, 200]),
            (vec![(0, 100, vec![100, 1, 150]), (100, 200, vec![150, 2, 200])], 200)
        );
    }

    #[test]
    fn no_sequence_is_too_odd() {
        for tokens in [&[100, 100][..], &[100, 100, 100], &[1, 100, 100, 1], &[180, 1, 120, 120]] {
            let (stretches, done) = cut(tokens);
            assert!(!stretches.is_empty() && done <= 3000, "{tokens:?}");
        }
    }
}
