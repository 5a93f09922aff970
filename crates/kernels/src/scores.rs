//! Reductions over one row of scores (logits), of which a vocabulary has tens of thousands.

use crate::Isa;

/// Largest number; `-inf` for none. NaNs are passed over.
pub fn maximum(scores: &[f32]) -> f32 {
    Isa::best().maximum(scores)
}

/// `sum(exp((scores - largest) * scale))`, where `largest` is their [`maximum`]; NaN if one of them
/// is, or if that is infinite.
pub fn sum_exp(scores: &[f32], largest: f32, scale: f32) -> f32 {
    Isa::best().sum_exp(scores, largest, scale)
}

/// `ln(sum(exp(scores)))`; `-inf` if there is nothing above `-inf`, NaN if there is a NaN.
pub fn log_sum_exp(scores: &[f32]) -> f32 {
    let largest = maximum(scores);
    if !largest.is_finite() {
        return largest;
    }
    largest + sum_exp(scores, largest, 1.0).ln()
}

/// Index and value of the largest number, the first of equals; `None` if there is nothing above
/// `-inf`.
pub fn argmax(scores: &[f32]) -> Option<(usize, f32)> {
    let largest = maximum(scores);
    // A few at a time, which the compiler compares at once.
    const FEW: usize = 64;
    let few = scores
        .chunks(FEW)
        .position(|few| few.iter().fold(false, |found, &score| found | (score == largest)))?;
    let rest = &scores[few * FEW..];
    let index = few * FEW + rest.iter().position(|&score| score == largest)?;
    (largest > f32::NEG_INFINITY).then_some((index, largest))
}
