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
