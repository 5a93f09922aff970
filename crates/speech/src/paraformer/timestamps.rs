//! Times of tokens.
//!
//! Models with timestamps (BiCif, <https://arxiv.org/abs/2301.12343>) have a second predictor that
//! weights steps of 20 ms: a token begins where the sum of the weights fires. The rules for the
//! spans between fires are FunASR's (`funasr_onnx/utils/timestamp_utils.py` and
//! `funasr/utils/timestamp_tools.py`). Other models give times only through the weights that
//! integrate encoder frames, 60 ms each, into tokens.

use std::ops::Range;

/// Seconds from the start of the segment.
pub(super) type Span = Range<f64>;

/// Seconds per step of the second predictor: 60 ms / 3.
const STEP: f64 = 10.0 * 6.0 / 1000.0 / 3.0;
/// Seconds per encoder frame.
const FRAME: f64 = 0.06;
/// Sum of weights at which the second predictor fires.
const THRESHOLD: f32 = 1.0 - 1e-4;
/// Number of steps by which a token begins before the step at which it fires.
const LEAD: f64 = 1.5;
/// Maximum silence after the last fire that belongs to the last token as a whole, in steps.
const MAX_TAIL: f64 = 5.0;
/// As [`LEAD`], for models without a second predictor, in encoder frames.
const LEAD_FRAMES: f64 = 0.5;

/// Maximum duration of a token, in steps; the rest of a longer span is silence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum DurationLimit {
    /// `funasr_onnx`: less than 30, and no limit for the last token.
    Onnx,
    /// `funasr`: at most 12.
    Torch,
}

impl DurationLimit {
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

/// Returns the spans of `tokens` tokens by the weights of the second predictor (`us_alphas`), one
/// per step.
///
/// If there is one fire more than tokens (the end of the sentence fires too), this follows
/// `funasr_onnx`. Otherwise `funasr_onnx` fails, and this follows `funasr`: it scales the weights
/// so that they add up to the expected number of fires, and integrates them again.
pub(super) fn by_predictor(weights: &[f32], tokens: usize) -> Vec<Span> {
    if tokens == 0 {
        return Vec::new();
    }
    let steps = weights.len() as f64;
    let fires = find_fires(weights.iter().copied());
    if fires.len() == tokens + 1 {
        return spans_between(&fires, steps, DurationLimit::Onnx);
    }
    let sum: f32 = weights.iter().sum();
    let scale = sum / (tokens + 1) as f32;
    let mut fires = find_fires(weights.iter().map(|weight| weight / scale));
    fires.truncate(tokens + 1);
    if fires.len() == tokens + 1 {
        return spans_between(&fires, steps, DurationLimit::Torch);
    }
    // All weights are zero, or some are NaN: divide the time evenly.
    (0..tokens).map(|token| share(token, tokens, steps)..share(token + 1, tokens, steps)).collect()
}

/// Returns the time, in seconds, at which one of `parts` equal parts of `steps` begins.
fn share(part: usize, parts: usize, steps: f64) -> f64 {
    steps * STEP * part as f64 / parts as f64
}

/// Returns the times at which the weights fire, in steps.
fn find_fires(weights: impl Iterator<Item = f32>) -> Vec<f64> {
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

/// Returns the spans between `fires`, the last of which is the end of the sentence.
fn spans_between(fires: &[f64], steps: f64, limit: DurationLimit) -> Vec<Span> {
    let [.., last] = fires else { return Vec::new() };
    let mut cut = false;
    let mut spans: Vec<Span> = fires
        .windows(2)
        .enumerate()
        .map(|(index, pair)| {
            cut = !limit.allows(pair[1] - pair[0], index + 2 == fires.len());
            let end = if cut { pair[0] + limit.steps() } else { pair[1] };
            pair[0] * STEP..end * STEP
        })
        .collect();
    if let Some(span) = spans.last_mut()
        && !cut
    {
        let end = if steps - last > MAX_TAIL { (steps + last) / 2.0 } else { steps };
        span.end = end * STEP;
    }
    spans
}

/// Returns the spans of tokens by the weights of the only predictor: one per encoder frame, and one
/// for the tail. `rows` has the index of each token among those that the weights count.
///
/// A token is located at the frame where half of its weight is reached. The frame at which it fires
/// drifts away from it, because a token's weights add up to one only roughly. A token ends where
/// the next begins, or after 12 frames.
pub(super) fn by_weights(weights: &[f32], rows: &[usize]) -> Vec<Span> {
    let frames = weights.len().saturating_sub(1) as f64;
    let midpoints = midpoints(weights);
    let begin = |row: usize| midpoints.get(row).map(|midpoint| midpoint - LEAD_FRAMES);
    rows.iter()
        .map(|&row| {
            let start = begin(row).unwrap_or(frames);
            let max_end = start + DurationLimit::Torch.steps();
            let end = begin(row + 1).unwrap_or(frames).min(max_end);
            start * FRAME..end * FRAME
        })
        .collect()
}

/// Returns the frames at which the sum of the weights passes 0.5, 1.5, ...
fn midpoints(weights: &[f32]) -> Vec<f64> {
    let mut midpoints = Vec::new();
    let mut sum = 0.0f64;
    for (frame, &weight) in weights.iter().enumerate() {
        sum += f64::from(weight);
        // A weight is at most 1 plus the tail's. The limit ends the loop for infinite weights.
        while midpoints.len() as f64 + 0.5 <= sum && midpoints.len() <= 2 * weights.len() {
            midpoints.push(frame as f64);
        }
    }
    midpoints
}

/// Clamps spans to `seconds`, so that they are in order, do not overlap, and do not end before they
/// begin.
pub(super) fn clamp_spans(spans: &mut [Span], seconds: f64) {
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
    use crate::fixtures;

    /// Output of FunASR's two functions, in milliseconds; see the README next to the fixture.
    #[derive(Deserialize)]
    struct Case {
        /// Run-length encoded: number of zeros, weight, number of zeros, ...
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
        fixtures::json("funasr-text/timestamps.json")
    }

    fn milliseconds(spans: &[Span]) -> Vec<[i64; 2]> {
        spans.iter().map(|span| [span.start, span.end].map(|time| (time * 1000.0) as i64)).collect()
    }

    #[test]
    fn times_match_funasr() {
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
    fn torch_limit_matches_funasr_torch() {
        for case in cases().iter().filter(|case| case.onnx.is_some()) {
            let weights = case.weights();
            let fires = find_fires(weights.iter().copied());
            let spans = spans_between(&fires, weights.len() as f64, DurationLimit::Torch);
            assert_eq!(milliseconds(&spans), case.torch);
        }
    }

    #[test]
    fn weights_that_never_fire_give_equal_spans() {
        assert!(by_predictor(&[], 0).is_empty());
        for weights in [vec![], vec![0.0; 30], vec![f32::NAN; 30]] {
            let mut spans = by_predictor(&weights, 3);
            clamp_spans(&mut spans, 0.5);
            assert_eq!(spans.len(), 3);
            assert!(spans.is_sorted_by(|a, b| a.end <= b.start), "{spans:?}");
        }
        let second = by_predictor(&[0.0; 30], 3).swap_remove(1);
        assert!((second.start - 0.2).abs() < 1e-9 && (second.end - 0.4).abs() < 1e-9, "{second:?}");
    }

    #[test]
    fn plain_weights_locate_the_middle_of_tokens() {
        // Two tokens and the end of the sentence, which the tail completes.
        let mut weights = vec![0.0; 40];
        weights[9..12].copy_from_slice(&[0.3, 0.5, 0.19]);
        weights[20..23].copy_from_slice(&[0.2, 0.6, 0.3]);
        weights.extend([0.5, 0.45]);
        let spans = by_weights(&weights, &[0, 1]);
        assert_eq!(milliseconds(&spans), [[570, 1230], [1230, 1950]]);
        assert_eq!(
            milliseconds(&by_weights(&weights, &[1])),
            [[1230, 1950]],
            "the second token only"
        );
        assert_eq!(
            milliseconds(&by_weights(&weights, &[7])),
            [[2460, 2460]],
            "beyond the last token"
        );
        assert!(by_weights(&[f32::INFINITY; 3], &[0, 5, 9]).len() == 3);
    }

    proptest! {
        #[test]
        fn clamped_spans_are_in_order_for_any_weights(
            weights in prop::collection::vec(0.0f32..1.5, 0..200),
            tokens in 0usize..60,
            seconds in 0.0f64..5.0,
        ) {
            for mut spans in [
                by_predictor(&weights, tokens),
                by_weights(&weights, &(0..tokens).map(|row| row * 2).collect::<Vec<_>>()),
            ] {
                prop_assert_eq!(spans.len(), tokens);
                clamp_spans(&mut spans, seconds);
                prop_assert!(spans.iter().all(|span| 0.0 <= span.start && span.end <= seconds));
                prop_assert!(spans.iter().all(|span| span.start <= span.end));
                prop_assert!(spans.is_sorted_by(|a, b| a.end <= b.start));
            }
        }
    }
}
