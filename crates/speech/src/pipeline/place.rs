//! Places what was recognized in a window in the recording.

use std::ops::Range;

use transcript::{Segment, Word};

use crate::{
    recognizer::{self, Hypothesis},
    speech_rate::is_speakable,
    window::{LONG_PAUSE, Window},
};

/// The first word of a piece may be found this many seconds late.
const MAX_LATE: f64 = 1.0;

/// Maps the hypotheses of a window to the recording: each to one segment, or to several if it runs over a
/// long pause that packing has shortened.
pub(super) fn place_all(
    hypotheses: Vec<Hypothesis>,
    window: &Window,
    language: Option<&String>,
) -> Vec<Segment> {
    let mut latest = None;
    hypotheses
        .into_iter()
        .flat_map(|hypothesis| place(hypothesis, window, language, &mut latest))
        .collect()
}

/// Maps one hypothesis. Returns no segment if it has neither text nor an event. `latest`: the piece that the
/// word before lies in.
fn place(
    hypothesis: Hypothesis,
    window: &Window,
    language: Option<&String>,
    latest: &mut Option<usize>,
) -> Vec<Segment> {
    let text = hypothesis.text.trim().to_owned();
    if text.is_empty() && hypothesis.event.is_none() {
        return Vec::new();
    }
    let pieces = pieces_of(&hypothesis.words, window);
    let parts = split_at_pauses(&pieces, window);
    let texts = texts_of(&text, &hypothesis.words, &parts);
    let mut segments = Vec::with_capacity(parts.len());
    for (part, text) in parts.iter().zip(texts) {
        let words: Vec<Word> = hypothesis.words[part.clone()]
            .iter()
            .zip(&pieces[part.clone()])
            .map(|(word, &piece)| {
                let is_first = latest.replace(piece) != Some(piece);
                placed(word, piece, is_first, window)
            })
            .collect();
        let (start, end) = match (words.first(), words.last()) {
            (Some(first), Some(last)) => (first.start, last.end),
            _ => {
                let (start, end) = window.to_recording(hypothesis.start, hypothesis.end);
                (milliseconds(start), milliseconds(end))
            }
        };
        let is_part = parts.len() > 1;
        // Made up for sounds on both sides of the pause: its words do not fit.
        if is_part && !is_speakable(text, end - start) {
            continue;
        }
        let log_probability = if is_part {
            mean(hypothesis.words[part.clone()].iter().map(|word| word.log_probability))
        } else {
            hypothesis.log_probability
        };
        segments.push(Segment {
            start,
            end,
            language: language.cloned(),
            text: text.to_owned(),
            confidence: log_probability.exp().clamp(0.0, 1.0),
            no_speech_probability: hypothesis.no_speech_probability.map(|p| p.clamp(0.0, 1.0)),
            words,
            emotion: hypothesis.emotion.clone(),
            event: hypothesis.event.clone(),
            ..Segment::default()
        });
    }
    segments
}

/// Returns the piece of the window that each word lies in, in ascending order.
fn pieces_of(words: &[recognizer::Word], window: &Window) -> Vec<usize> {
    let mut latest = 0;
    words
        .iter()
        .map(|word| {
            latest = window.piece_of(word.start, word.end).max(latest);
            latest
        })
        .collect()
}

/// Returns the ranges of words between long pauses; one empty range if there are no words.
fn split_at_pauses(pieces: &[usize], window: &Window) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for index in 1..pieces.len() {
        let between = pieces[index - 1] + 1..=pieces[index];
        if between.into_iter().any(|piece| window.pause_before(piece) > LONG_PAUSE) {
            parts.push(start..index);
            start = index;
        }
    }
    parts.push(start..pieces.len());
    parts
}

/// Cuts the text before the first word of each part.
fn texts_of<'a>(text: &'a str, words: &[recognizer::Word], parts: &[Range<usize>]) -> Vec<&'a str> {
    let mut texts = Vec::with_capacity(parts.len());
    let (mut begin, mut from, mut word) = (0, 0, 0);
    for part in &parts[1..] {
        while word <= part.start {
            // The words are those of the text, in order.
            let found =
                words.get(word).and_then(|word| Some((text[from..].find(&word.text)?, word)));
            if let Some((at, of_text)) = found {
                if word == part.start {
                    texts.push(text[begin..from + at].trim());
                    begin = from + at;
                }
                from += at + of_text.text.len();
            } else if word == part.start {
                texts.push(text[begin..from].trim());
                begin = from;
            }
            word += 1;
        }
    }
    texts.push(text[begin..].trim());
    texts
}

fn placed(word: &recognizer::Word, piece: usize, is_first: bool, window: &Window) -> Word {
    let (mut start, end) = window.within(piece, word.start, word.end);
    // Attention turns to the first word late.
    if is_first {
        let onset = window.onset(piece);
        if start - onset <= MAX_LATE {
            start = start.min(onset);
        }
    }
    Word {
        start: milliseconds(start),
        end: milliseconds(end),
        text: word.text.clone(),
        confidence: Some(word.log_probability.exp().clamp(0.0, 1.0)),
        ..Word::default()
    }
}

fn mean(numbers: impl ExactSizeIterator<Item = f32>) -> f32 {
    let count = numbers.len().max(1);
    numbers.sum::<f32>() / count as f32
}

/// Rounds seconds to milliseconds; times of recognizers are no more precise.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{segmenter::Segment as Speech, window::Packer};

    /// Packs pieces, given by start and duration in seconds.
    fn window(pieces: &[(f64, f64)]) -> Window {
        let mut packer = Packer::new(30.0, true);
        for &(start, seconds) in pieces {
            let samples = vec![0.5; (seconds * 16_000.0) as usize];
            assert!(packer.push(Speech { start: (start * 16_000.0) as u64, samples }).is_none());
        }
        packer.finish().unwrap()
    }

    fn hypothesis(text: &str, words: &[(&str, f64, f64)]) -> Hypothesis {
        let words = words.iter().map(|&(text, start, end)| recognizer::Word {
            start,
            end,
            text: text.to_owned(),
            log_probability: -0.5,
        });
        Hypothesis {
            start: 0.5,
            end: 4.0,
            text: text.to_owned(),
            words: words.collect(),
            ..Hypothesis::default()
        }
    }

    fn placed(hypothesis: Hypothesis, window: &Window) -> Vec<(f64, f64, String, usize)> {
        let segments = place_all(vec![hypothesis], window, None);
        segments.into_iter().map(|s| (s.start, s.end, s.text, s.words.len())).collect()
    }

    #[test]
    fn a_hypothesis_over_a_long_pause_is_split_there() {
        let window = window(&[(10.0, 2.0), (30.0, 2.0)]);
        let words = [("a", 0.5, 1.0), ("b.", 1.0, 1.5), ("a", 2.2, 2.6), ("c", 2.6, 3.0)];
        assert_eq!(
            placed(hypothesis(" a b. a c ", &words), &window),
            [(10.0, 11.5, "a b.".to_owned(), 2), (30.0, 30.7, "a c".to_owned(), 2)]
        );
    }

    #[test]
    fn both_parts_have_the_no_speech_probability_of_their_window() {
        let window = window(&[(10.0, 2.0), (30.0, 2.0)]);
        let mut hypothesis = hypothesis("a b", &[("a", 0.5, 1.0), ("b", 2.2, 2.6)]);
        for (found, expected) in [(None, None), (Some(0.25), Some(0.25)), (Some(1.5), Some(1.0))] {
            hypothesis.no_speech_probability = found;
            let segments = place_all(vec![hypothesis.clone()], &window, None);
            let of_segments: Vec<_> =
                segments.iter().map(|segment| segment.no_speech_probability).collect();
            assert_eq!(of_segments, [expected; 2]);
        }
    }

    #[test]
    fn a_part_that_nobody_can_have_spoken_is_dropped() {
        let window = window(&[(10.0, 2.0), (30.0, 2.0)]);
        let text = "I'm not sure if I'm going to do it.";
        let words = [("I'm", 0.5, 0.9), ("not", 2.3, 2.35), ("it.", 2.35, 2.4)];
        let expected = [(10.0, 10.9, "I'm".to_owned(), 1)];
        assert_eq!(placed(hypothesis(text, &words), &window), expected);
    }

    #[test]
    fn a_short_pause_splits_nothing() {
        let window = window(&[(10.0, 2.0), (13.0, 2.0)]);
        let words = [("a", 0.5, 1.9), ("b", 2.0, 3.0)];
        let expected = [(10.0, 13.7, "a b".to_owned(), 2)];
        assert_eq!(placed(hypothesis("a b", &words), &window), expected);
    }

    #[test]
    fn the_first_word_of_a_piece_begins_with_its_speech() {
        let window = window(&[(10.0, 2.0), (30.0, 3.0)]);
        let of = |words: &[(&str, f64, f64)]| {
            let segments =
                place_all(vec![hypothesis("a", words), hypothesis("b", words)], &window, None);
            segments.into_iter().map(|segment| segment.start).collect::<Vec<_>>()
        };
        // The second word of a piece is left where it is, and so is one that is far from its beginning.
        assert_eq!(of(&[("a", 0.9, 1.0)]), [10.0, 10.9]);
        assert_eq!(of(&[("a", 1.1, 1.5)]), [11.1, 11.1]);
        assert_eq!(of(&[("a", 0.1, 1.5)]), [10.0, 10.1]);
    }

    #[test]
    fn without_words_a_hypothesis_keeps_its_own_times() {
        let window = window(&[(10.0, 2.0), (30.0, 2.0)]);
        let mut whole = hypothesis("a b", &[]);
        whole.end = 1.5;
        assert_eq!(placed(whole, &window), [(10.5, 11.5, "a b".to_owned(), 0)]);
        assert_eq!(placed(hypothesis(" ", &[]), &window), []);
    }

    #[test]
    fn text_is_cut_even_if_a_word_is_not_found_in_it() {
        let window = window(&[(10.0, 2.0), (30.0, 2.0)]);
        let words = [("a", 0.5, 1.0), ("?", 2.2, 2.6)];
        let expected = [(10.0, 11.0, "a".to_owned(), 1), (30.0, 30.3, "b".to_owned(), 1)];
        assert_eq!(placed(hypothesis("a b", &words), &window), expected);
    }
}
