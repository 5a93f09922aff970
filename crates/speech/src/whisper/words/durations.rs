//! Limits the durations of words: the alignment lets a word at a pause last through it. The rules are those
//! of faster-whisper's `add_word_timestamps`, after OpenAI's timing.py.

use super::{Span, TimedWord};

const SENTENCE_END: &str = ".。!！?？";
/// Longest typical duration of a word, in seconds.
const MAX_MEDIAN: f64 = 0.7;
/// A segment's own time is preferred to that of a word that lies this many seconds outside of it.
const TOLERANCE: f64 = 0.5;

/// Limits the durations of the words of a pass, given per hypothesis. `last_end`: end of the speech before.
pub(super) fn limit_durations(words: &mut [Vec<TimedWord>], spans: &[Span], last_end: f64) {
    let mut durations: Vec<f64> = words
        .iter()
        .flatten()
        .map(|word| word.end - word.start)
        .filter(|&duration| duration > 0.0)
        .collect();
    durations.sort_by(f64::total_cmp);
    let median = match durations.len() {
        0 => 0.0,
        n => (durations[(n - 1) / 2] + durations[n / 2]) / 2.0,
    };
    let median = median.min(MAX_MEDIAN);
    let max = 2.0 * median;
    if !durations.is_empty() {
        limit_at_sentences(words, max);
    }
    let mut last_end = last_end;
    for (words, span) in words.iter_mut().zip(spans) {
        limit_at_ends(words, (span.hypothesis.start, span.hypothesis.end), last_end, median);
        last_end = words.last().map_or(last_end, |word| word.end);
    }
}

/// Cuts words after a sentence's end at their beginning. (A pause before it is that of the punctuation,
/// which has no times of its own.)
fn limit_at_sentences(words: &mut [Vec<TimedWord>], max: f64) {
    let mut after_end = false;
    for word in words.iter_mut().flatten() {
        if after_end && word.end - word.start > max {
            word.start = word.end - max;
        }
        after_end = word.text.trim().ends_with(|c| SENTENCE_END.contains(c));
    }
}

/// Limits the first words and the last word of a hypothesis, whose own times are given.
fn limit_at_ends(words: &mut [TimedWord], (start, end): (f64, f64), last_end: f64, median: f64) {
    let max = 2.0 * median;
    let Some(first_end) = words.first().map(|word| word.end) else { return };
    let after_pause = first_end - last_end > 4.0 * median;
    let second_end = words.get(1).map(|word| word.end);
    let first_start = words[0].start;
    let too_long = first_end - first_start > max
        || second_end.is_some_and(|second_end| second_end - first_start > 2.0 * max);
    if after_pause && too_long {
        if let [first, second, ..] = words
            && second.end - second.start > max
        {
            let boundary = first.start.max(second.end - max);
            (first.end, second.start) = (boundary, boundary);
        }
        words[0].start = words[0].start.max(words[0].end - max);
    }
    if let Some(first) = words.first_mut()
        && start < first.end
        && start - TOLERANCE > first.start
    {
        first.start = start.min(first.end - median).max(first.start);
    }
    if let Some(last) = words.last_mut()
        && end > last.start
        && end + TOLERANCE < last.end
    {
        last.end = end.max(last.start + median).min(last.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognizer::Hypothesis;

    fn word(text: &str, start: f64, end: f64) -> TimedWord {
        TimedWord { text: text.to_owned(), tokens: 0..1, start, end }
    }

    fn limited(of_span: &[TimedWord], times: (f64, f64), last_end: f64) -> Vec<(f64, f64)> {
        let hypothesis = Hypothesis { start: times.0, end: times.1, ..Hypothesis::default() };
        let spans = [Span { hypothesis, log_probabilities: Vec::new() }];
        let mut words = [of_span.to_vec()];
        limit_durations(&mut words, &spans, last_end);
        let rounded = |time: f64| (time * 1000.0).round() / 1000.0;
        words[0].iter().map(|word| (rounded(word.start), rounded(word.end))).collect()
    }

    #[test]
    fn ordinary_words_keep_their_times() {
        let words = [word(" a", 0.2, 0.5), word(" b", 0.5, 0.9), word(" c.", 0.9, 1.2)];
        assert_eq!(limited(&words, (0.2, 1.2), 0.0), [(0.2, 0.5), (0.5, 0.9), (0.9, 1.2)]);
        assert_eq!(limited(&[], (0.0, 1.0), 0.0), []);
    }

    #[test]
    fn words_after_the_end_of_a_sentence_do_not_begin_in_the_pause() {
        let words = [word(" a", 0.0, 0.3), word(" b.", 0.3, 0.6), word(" c", 0.6, 9.0)];
        assert_eq!(limited(&words, (0.0, 9.0), 0.0), [(0.0, 0.3), (0.3, 0.6), (8.4, 9.0)]);
    }

    #[test]
    fn the_first_word_after_a_pause_is_short() {
        let words = [word(" a", 1.0, 6.0), word(" b", 6.0, 6.3), word(" c", 6.3, 6.6)];
        assert_eq!(limited(&words, (1.0, 6.6), 0.0)[0], (5.4, 6.0));
        // Not so within continuous speech.
        assert_eq!(limited(&words, (1.0, 6.6), 5.5)[0], (1.0, 6.0));
    }

    #[test]
    fn times_far_outside_of_the_segment_give_way_to_its_own() {
        let words = [word(" a", 1.0, 4.0), word(" b", 4.0, 4.3), word(" c", 4.3, 9.0)];
        let found = limited(&words, (3.9, 4.6), 3.8);
        // The typical word takes 3 s, but no more than 0.7 s counts.
        assert_eq!(found, [(3.3, 4.0), (4.0, 4.3), (4.3, 5.0)]);
    }
}
