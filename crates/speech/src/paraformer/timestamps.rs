//! When each token is said.
//!
//! Models made for it (BiCif, <https://arxiv.org/abs/2301.12343>) have a second predictor, which
//! weighs steps of 20 ms: where its weights fill up, a token begins. FunASR's rules for what lies
//! between are those of `funasr_onnx/utils/timestamp_utils.py` and
//! `funasr/utils/timestamp_tools.py`. Other models know time only by the weights that make tokens of
//! encoder frames, 60 ms each.

use std::ops::Range;

/// Seconds from the start of the segment.
pub(super) type Span = Range<f64>;

/// Seconds per step of the second predictor: 60 ms / 3.
const STEP: f64 = 10.0 * 6.0 / 1000.0 / 3.0;
/// Seconds per encoder frame.
const FRAME: f64 = 0.06;
/// The second predictor fires at this weight.
const THRESHOLD: f32 = 1.0 - 1e-4;
/// A token begins so many steps before the one at which it fires.
const LEAD: f64 = 1.5;
/// More silence than this after the last fire is not all the last token's, in steps.
const LONGEST_TAIL: f64 = 5.0;
/// The same weight, but in plain models.
const LEAD_FRAMES: f64 = 0.5;

/// How long a token may be, in steps; what is longer ends in silence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Longest {
    /// `funasr_onnx`: less than 30, and the last as long as it takes.
    Onnx,
    /// `funasr`: up to 12.
    Torch,
}

impl Longest {
    const fn steps(self) -> f64 {
        match self {
            Self::Onnx => 30.0,
            Self::Torch => 12.0,
        }
    }

    fn allows(self, steps: f64, last: bool) -> bool {
        match self {
            Self::Onnx => last || steps < self.steps(),
            Self::Torch => steps <= self.steps(),
        }
    }
}

/// The spans of `tokens` tokens by the weights of the second predictor (`us_alphas`), one per step.
///
/// Where it fires once more often than there are tokens (the end of the sentence fires too), this is
/// the rule of `funasr_onnx`. Elsewhere that one fails, and we do as `funasr`: scale the weights to
/// what they should add up to, and let them fire anew.
pub(super) fn by_predictor(weights: &[f32], tokens: usize) -> Vec<Span> {
    if tokens == 0 {
        return Vec::new();
    }
    let steps = weights.len() as f64;
    let fires = fire(weights.iter().copied());
    if fires.len() == tokens + 1 {
        return between(&fires, steps, Longest::Onnx);
    }
    let sum: f32 = weights.iter().sum();
    let scale = sum / (tokens + 1) as f32;
    let mut fires = fire(weights.iter().map(|weight| weight / scale));
    fires.truncate(tokens + 1);
    if fires.len() == tokens + 1 {
        return between(&fires, steps, Longest::Torch);
    }
    // No weight at all, or no number.
    (0..tokens).map(|token| share(token, tokens, steps)..share(token + 1, tokens, steps)).collect()
}

fn share(part: usize, parts: usize, steps: f64) -> f64 {
    steps * STEP * part as f64 / parts as f64
}

/// Where the weights fire, in steps.
fn fire(weights: impl Iterator<Item = f32>) -> Vec<f64> {
    let mut integral = 0.0f32;
    let mut fires = Vec::new();
    for (step, weight) in weights.enumerate() {
        integral += weight;
        if integral >= THRESHOLD {
            integral -= THRESHOLD;
            fires.push(step as f64 - LEAD);
        }
    }
    fires
}

/// The spans between `fires`; the last fire is the end of the sentence.
fn between(fires: &[f64], steps: f64, longest: Longest) -> Vec<Span> {
    let [.., last] = fires else { return Vec::new() };
    let mut cut = false;
    let mut spans: Vec<Span> = fires
        .windows(2)
        .enumerate()
        .map(|(index, fire)| {
            cut = !longest.allows(fire[1] - fire[0], index + 2 == fires.len());
            let end = if cut { fire[0] + longest.steps() } else { fire[1] };
            fire[0] * STEP..end * STEP
        })
        .collect();
    if let Some(span) = spans.last_mut()
        && !cut
    {
        let end = if steps - last > LONGEST_TAIL { (steps + last) / 2.0 } else { steps };
        span.end = end * STEP;
    }
    spans
}

/// The spans of tokens by the weights of the only predictor, one per encoder frame and one for the
/// tail. `rows`: which of the tokens counted by the weights each one is.
///
/// A token's place is where half of its weight is reached: the point where it fires drifts from it,
/// since a token's weights add up to one only roughly. It ends with the next, or after 12 frames.
pub(super) fn by_weights(weights: &[f32], rows: &[usize]) -> Vec<Span> {
    let frames = weights.len().saturating_sub(1) as f64;
    let places = places(weights);
    let begin = |row: usize| places.get(row).map(|place| place - LEAD_FRAMES);
    rows.iter()
        .map(|&row| {
            let start = begin(row).unwrap_or(frames);
            let longest = start + Longest::Torch.steps();
            let end = begin(row + 1).unwrap_or(frames).min(longest);
            start * FRAME..end * FRAME
        })
        .collect()
}

/// The frames at which the sum of the weights passes 0.5, 1.5, ...
fn places(weights: &[f32]) -> Vec<f64> {
    let mut places = Vec::new();
    let mut sum = 0.0f64;
    for (frame, &weight) in weights.iter().enumerate() {
        sum += f64::from(weight);
        // A single weight is at most one and the tail's.
        while places.len() as f64 + 0.5 <= sum && places.len() <= 2 * weights.len() {
            places.push(frame as f64);
        }
    }
    places
}

/// Makes spans end where they begin or later, follow each other, and lie within `seconds`.
pub(super) fn tidy(spans: &mut [Span], seconds: f64) {
    let mut earliest = 0.0f64;
    for span in spans {
        span.start = span.start.clamp(earliest.min(seconds), seconds);
        span.end = span.end.clamp(span.start, seconds);
        earliest = span.end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// What FunASR's two functions say; see the README beside the file. In milliseconds.
    #[derive(Deserialize)]
    struct Case {
        /// Number of zeros, weight, number of zeros, ...
        alphas: Vec<f64>,
        tokens: usize,
        onnx: Option<Vec<[i64; 2]>>,
        torch: Vec<[i64; 2]>,
    }

    impl Case {
        fn weights(&self) -> Vec<f32> {
            let mut weights = Vec::new();
            for pair in self.alphas.chunks(2) {
                weights.resize(weights.len() + pair[0] as usize, 0.0);
                weights.extend(pair.get(1).map(|&weight| weight as f32));
            }
            weights
        }
    }

    fn cases() -> Vec<Case> {
        let cases = include_str!("../../../../tests/fixtures/funasr-text/timestamps.json");
        serde_json::from_str(cases).expect("fixture")
    }

    fn milliseconds(spans: &[Span]) -> Vec<[i64; 2]> {
        spans.iter().map(|span| [span.start, span.end].map(|time| (time * 1000.0) as i64)).collect()
    }

    #[test]
    fn times_are_funasrs() {
        let mut by_onnx = 0;
        for (index, case) in cases().iter().enumerate() {
            let spans = milliseconds(&by_predictor(&case.weights(), case.tokens));
            let expected = case.onnx.as_ref().unwrap_or(&case.torch);
            assert_eq!(&spans, expected, "{index}");
            by_onnx += usize::from(case.onnx.is_some());
        }
        assert!(by_onnx > 10);
    }

    #[test]
    fn the_rule_of_torch_is_torchs() {
        for case in cases().iter().filter(|case| case.onnx.is_some()) {
            let weights = case.weights();
            let fires = fire(weights.iter().copied());
            let spans = between(&fires, weights.len() as f64, Longest::Torch);
            assert_eq!(milliseconds(&spans), case.torch);
        }
    }

    #[test]
    fn weights_that_say_nothing() {
        assert!(by_predictor(&[], 0).is_empty());
        for weights in [vec![], vec![0.0; 30], vec![f32::NAN; 30]] {
            let mut spans = by_predictor(&weights, 3);
            tidy(&mut spans, 0.5);
            assert_eq!(spans.len(), 3);
            assert!(spans.is_sorted_by(|a, b| a.end <= b.start), "{spans:?}");
        }
        let second = by_predictor(&[0.0; 30], 3).swap_remove(1);
        assert!((second.start - 0.2).abs() < 1e-9 && (second.end - 0.4).abs() < 1e-9, "{second:?}");
    }

    #[test]
    fn plain_weights_tell_the_middle() {
        // Two tokens and the end of the sentence, which the tail completes.
        let mut weights = vec![0.0; 40];
        weights[9..12].copy_from_slice(&[0.3, 0.5, 0.19]);
        weights[20..23].copy_from_slice(&[0.2, 0.6, 0.3]);
        weights.extend([0.5, 0.45]);
        let spans = by_weights(&weights, &[0, 1]);
        assert_eq!(milliseconds(&spans), [[570, 1230], [1230, 1950]]);
        assert_eq!(milliseconds(&by_weights(&weights, &[1])), [[1230, 1950]], "the first is none");
        assert_eq!(milliseconds(&by_weights(&weights, &[7])), [[2460, 2460]], "there is none");
        assert!(by_weights(&[f32::INFINITY; 3], &[0, 5, 9]).len() == 3);
    }

    proptest! {
        #[test]
        fn any_weights_give_tidy_spans(
            weights in prop::collection::vec(0.0f32..1.5, 0..200),
            tokens in 0usize..60,
            seconds in 0.0f64..5.0,
        ) {
            for mut spans in [
                by_predictor(&weights, tokens),
                by_weights(&weights, &(0..tokens).map(|row| row * 2).collect::<Vec<_>>()),
            ] {
                prop_assert_eq!(spans.len(), tokens);
                tidy(&mut spans, seconds);
                prop_assert!(spans.iter().all(|span| 0.0 <= span.start && span.end <= seconds));
                prop_assert!(spans.iter().all(|span| span.start <= span.end));
                prop_assert!(spans.is_sorted_by(|a, b| a.end <= b.start));
            }
        }
    }
}
