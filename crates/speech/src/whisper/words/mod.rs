//! The times at which words were said: the decoder's attention to the audio, followed by dynamic time
//! warping, as OpenAI's timing.py and faster-whisper's `add_word_timestamps` do it.

mod attention;
mod durations;
mod plausible;
mod split;

use std::ops::Range;

pub(super) use self::attention::AttentionMap;
pub(super) use self::plausible::is_plausible;
use self::{durations::limit_durations, split::split};
use crate::recognizer::{Hypothesis, Word};

/// Seconds per position of the encoder.
const SECONDS_PER_POSITION: f64 = 0.02;

/// A word, or the punctuation around it, while its times are being found.
#[derive(Debug, Clone, PartialEq)]
struct TimedWord {
    /// With the spaces around it.
    text: String,
    /// Indices of its tokens within the hypothesis.
    tokens: Range<usize>,
    start: f64,
    end: f64,
}

/// A hypothesis of one pass, with what is needed to find the times of its words.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) hypothesis: Hypothesis,
    /// Natural log-probability of each of the hypothesis's tokens.
    pub(super) log_probabilities: Vec<f32>,
}

/// How a language writes words, and what tokens mean.
pub(super) struct WordRules<'a> {
    pub(super) text: &'a dyn Fn(&[u32]) -> String,
    /// Whether spaces separate words.
    pub(super) spaced: bool,
}

/// Returns whether spaces separate the words of a language (OpenAI's tokenizer.py,
/// `split_to_word_tokens`; faster-whisper adds `yue`).
pub(super) fn is_spaced(language: &str) -> bool {
    !matches!(language, "zh" | "ja" | "th" | "lo" | "my" | "yue")
}

/// Sets the words of the hypotheses of one pass, and lets each begin with its first word and end with its
/// last.
///
/// `starts`: the position in the audio at which each token begins, and after them the position at which
/// the last one ends. `offset`: start of the pass. `last_end`: end of the speech before it. All times are
/// in seconds.
pub(super) fn time_words(
    spans: &mut [Span],
    starts: &[usize],
    rules: &WordRules<'_>,
    offset: f64,
    last_end: f64,
) {
    let time = |token: usize| {
        let position = starts.get(token).or(starts.last()).copied().unwrap_or(0);
        offset + position as f64 * SECONDS_PER_POSITION
    };
    let mut first_token = 0;
    let mut words: Vec<Vec<TimedWord>> = Vec::with_capacity(spans.len());
    for span in spans.iter() {
        let tokens = &span.hypothesis.tokens;
        let mut of_span = split(tokens, rules);
        for word in &mut of_span {
            word.start = time(first_token + word.tokens.start);
            word.end = time(first_token + word.tokens.end);
        }
        first_token += tokens.len();
        words.push(of_span);
    }
    limit_durations(&mut words, spans, last_end);
    for (span, words) in spans.iter_mut().zip(words) {
        let Span { hypothesis, log_probabilities } = span;
        if let (Some(first), Some(last)) = (words.first(), words.last()) {
            (hypothesis.start, hypothesis.end) = (first.start, last.end.max(first.start));
        }
        hypothesis.words = words
            .into_iter()
            .filter_map(|word| {
                let text = word.text.trim_matches(|c: char| c.is_whitespace() || c == '\u{fffd}');
                let of_word = log_probabilities.get(word.tokens)?;
                (!text.is_empty()).then(|| Word {
                    start: word.start,
                    end: word.end.max(word.start),
                    text: text.to_owned(),
                    log_probability: of_word.iter().sum::<f32>() / of_word.len().max(1) as f32,
                })
            })
            .collect();
    }
}
