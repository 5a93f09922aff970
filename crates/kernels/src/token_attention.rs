//! The attention of tokens to positions of the audio, prepared to be followed by dynamic time warping.

use crate::{isa::Isa, loops::MEDIAN_WIDTH};

/// Adds the weights of one head, row-major `[tokens, positions]`, to `sum`: less the mean of all tokens at
/// each position, over their standard deviation (0 where all tokens are equal), and median-filtered over
/// seven positions, with reflected ends.
///
/// As in OpenAI's timing.py (`find_alignment`): a weight counts by how much it exceeds those of the other
/// tokens.
///
/// # Panics
/// If the lengths do not match.
pub fn add_head(weights: &[f32], positions: usize, sum: &mut [f32]) {
    add_head_with(Isa::selected(), weights, positions, sum);
}

pub(crate) fn add_head_with(isa: Isa, weights: &[f32], positions: usize, sum: &mut [f32]) {
    assert!(positions > 0 && weights.len().is_multiple_of(positions), "incomplete rows");
    assert_eq!(weights.len(), sum.len(), "rows of unequal number");
    let (mut mean, mut scale) = (vec![0.0; positions], vec![0.0; positions]);
    isa.column_statistics(weights, &mut mean, &mut scale);
    let mut padded = vec![0.0; positions + MEDIAN_WIDTH - 1];
    for (row, sum) in weights.chunks_exact(positions).zip(sum.chunks_exact_mut(positions)) {
        isa.add_medians(row, &mean, &scale, &mut padded, sum);
    }
}
