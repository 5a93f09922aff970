//! Reductions of one row of scores (logits), which is as long as the vocabulary: tens of thousands.

use crate::isa::Isa;

/// Returns the maximum, `-inf` for an empty row. Ignores NaN.
pub fn maximum(scores: &[f32]) -> f32 {
    Isa::selected().maximum(scores)
}

/// Returns `sum(exp((scores - max) * scale))`, where `max` is the [`maximum`] of `scores`. The
/// result is NaN if a score is NaN or `max` is infinite.
pub fn sum_exp(scores: &[f32], max: f32, scale: f32) -> f32 {
    Isa::selected().sum_exp(scores, max, scale)
}

/// Returns `ln(sum(exp(scores)))`: `-inf` if every score is `-inf`, NaN if one is NaN.
pub fn log_sum_exp(scores: &[f32]) -> f32 {
    let max = maximum(scores);
    if !max.is_finite() {
        return max;
    }
    max + sum_exp(scores, max, 1.0).ln()
}

/// Returns index and value of the maximum, the first of equal ones; `None` if no score is above
/// `-inf`. Ignores NaN.
///
/// ```
/// assert_eq!(kernels::scores::argmax(&[1.0, 4.0, f32::NAN, 4.0]), Some((1, 4.0)));
/// ```
pub fn argmax(scores: &[f32]) -> Option<(usize, f32)> {
    let max = maximum(scores);
    // The compiler vectorizes the comparisons of a chunk.
    const CHUNK: usize = 64;
    let chunk = scores
        .chunks(CHUNK)
        .position(|chunk| chunk.iter().fold(false, |found, &score| found | (score == max)))?;
    let rest = &scores[chunk * CHUNK..];
    let index = chunk * CHUNK + rest.iter().position(|&score| score == max)?;
    (max > f32::NEG_INFINITY).then_some((index, max))
}
