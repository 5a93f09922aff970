//! Filters that are symmetric about their middle take half of the products: both samples at a
//! distance from the middle have the same weight, or, in odd filters, opposite weights.

use crate::{isa::Isa, rows::end_of_rows};

/// Adds and subtracts the samples on both sides of the middle of each row. A row of `2 * half + 1`
/// samples starts every `stride`; `differences` has a row of `half` numbers for each,
/// `x[k] - x[2 half - k]`, and `sums` one of `half + 1`, `x[k] + x[2 half - k]` and then the middle.
///
/// ```
/// let (mut sums, mut differences) = ([0.0; 3], [0.0; 2]);
/// kernels::symmetric::fold(&[1.0, 2.0, 3.0, 5.0, 8.0], 5, &mut sums, &mut differences, 2);
/// assert_eq!((sums, differences), ([9.0, 7.0, 3.0], [-7.0, -3.0]));
/// ```
///
/// # Panics
/// If the lengths do not match.
pub fn fold(
    samples: &[f32],
    stride: usize,
    sums: &mut [f32],
    differences: &mut [f32],
    half: usize,
) {
    let rows = sums.len() / (half + 1);
    assert!(half > 0 && sums.len() == rows * (half + 1), "sums of folded rows");
    assert_eq!(differences.len(), rows * half, "differences of folded rows");
    assert!(samples.len() >= end_of_rows(rows, stride, 2 * half + 1), "rows to fold");
    Isa::selected().fold_rows(samples, stride, sums, differences, half);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::numbers;

    proptest! {
        #[test]
        fn rows_are_folded(
            rows in 0usize..9, half in 1usize..90, stride in 1usize..40, seed: u64,
        ) {
            let samples = numbers(seed, end_of_rows(rows, stride, 2 * half + 1));
            for &isa in Isa::available() {
                let mut sums = vec![f32::NAN; rows * (half + 1)];
                let mut differences = vec![f32::NAN; rows * half];
                isa.fold_rows(&samples, stride, &mut sums, &mut differences, half);
                for row in 0..rows {
                    let x = &samples[row * stride..];
                    for k in 0..half {
                        prop_assert_eq!(sums[row * (half + 1) + k], x[k] + x[2 * half - k]);
                        prop_assert_eq!(differences[row * half + k], x[k] - x[2 * half - k]);
                    }
                    prop_assert_eq!(sums[row * (half + 1) + half], x[half]);
                }
            }
        }
    }
}
