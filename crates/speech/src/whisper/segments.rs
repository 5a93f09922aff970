//! Splits the tokens of one pass into spans of text at their timestamps.

use std::ops::Range;

/// Mel frames (10 ms) per step of a timestamp (20 ms).
const FRAMES_PER_STEP: usize = 2;

/// A span of text between two timestamps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimedSpan {
    /// Start and end in mel frames from the start of the pass.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Indices of its tokens, timestamps included.
    pub(super) tokens: Range<usize>,
}

/// Returns the spans of a pass of `frames` mel frames, and the number of frames that they complete.
///
/// As in OpenAI's transcribe.py and faster-whisper's `_split_segments_by_timestamps`, text after the
/// last pair of timestamps is left to the next pass, which starts there. Unlike there, a single span
/// starts at its timestamp and not at the start of the pass.
pub(super) fn split(
    tokens: &[u32],
    timestamp_begin: u32,
    frames: usize,
) -> (Vec<TimedSpan>, usize) {
    let time = |place: usize| {
        let step = tokens.get(place)?.checked_sub(timestamp_begin)?;
        Some(step as usize * FRAMES_PER_STEP)
    };
    let is_timestamp = |place: usize| time(place).is_some();
    // Spans end between the two timestamps of a pair.
    let mut cuts: Vec<usize> =
        (1..tokens.len()).filter(|&place| is_timestamp(place - 1) && is_timestamp(place)).collect();
    if cuts.is_empty() {
        let begin = time(0).unwrap_or(0);
        let last = (0..tokens.len()).rev().find_map(time);
        let end = last.filter(|&last| last > begin).unwrap_or(frames);
        return (vec![TimedSpan { begin, end, tokens: 0..tokens.len() }], frames);
    }
    // A single timestamp at the end means that no text is left for the next pass.
    let all_done = !is_timestamp(tokens.len() - 2) && is_timestamp(tokens.len() - 1);
    if all_done {
        cuts.push(tokens.len());
    }
    let mut from = 0;
    let spans = cuts
        .into_iter()
        .map(|to| {
            let begin = time(from).unwrap_or(0);
            let end = time(to - 1).unwrap_or(begin);
            TimedSpan { begin, end, tokens: std::mem::replace(&mut from, to)..to }
        })
        .collect();
    let done = if all_done { frames } else { time(from - 1).unwrap_or(frames) };
    (spans, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits tokens of which those from 100 on are timestamps.
    fn cut(tokens: &[u32]) -> (Vec<(usize, usize, Vec<u32>)>, usize) {
        let (spans, done) = split(tokens, 100, 3000);
        let spans = spans.into_iter().map(|s| (s.begin, s.end, tokens[s.tokens].to_vec()));
        (spans.collect(), done)
    }

    #[test]
    fn without_pairs_there_is_one_span() {
        assert_eq!(cut(&[110, 1, 2, 150]), (vec![(20, 100, vec![110, 1, 2, 150])], 3000));
        assert_eq!(cut(&[110, 1, 2]), (vec![(20, 3000, vec![110, 1, 2])], 3000));
        assert_eq!(cut(&[1, 2]), (vec![(0, 3000, vec![1, 2])], 3000));
        assert_eq!(cut(&[100]), (vec![(0, 3000, vec![100])], 3000));
        assert_eq!(cut(&[]), (vec![(0, 3000, vec![])], 3000));
    }

    #[test]
    fn pairs_separate_spans_and_a_single_timestamp_ends_the_last() {
        assert_eq!(
            cut(&[100, 1, 150, 150, 2, 200]),
            (vec![(0, 100, vec![100, 1, 150]), (100, 200, vec![150, 2, 200])], 3000)
        );
    }

    #[test]
    fn unfinished_text_is_left_to_the_next_pass() {
        assert_eq!(cut(&[100, 1, 150, 160, 2]), (vec![(0, 100, vec![100, 1, 150])], 100));
        assert_eq!(
            cut(&[100, 1, 150, 150, 2, 200, 200]),
            (vec![(0, 100, vec![100, 1, 150]), (100, 200, vec![150, 2, 200])], 200)
        );
    }

    #[test]
    fn odd_sequences_do_not_panic() {
        for tokens in [&[100, 100][..], &[100, 100, 100], &[1, 100, 100, 1], &[180, 1, 120, 120]] {
            let (spans, done) = cut(tokens);
            assert!(!spans.is_empty() && done <= 3000, "{tokens:?}");
        }
    }
}
