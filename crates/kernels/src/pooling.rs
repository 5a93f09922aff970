//! Max-pooling and instance norm over time, of rows of channels.

use crate::{epilogue::LEAKY_SLOPE, isa::Isa, rows::end_of_rows};

/// Numbers that are summed in f32.
const SUMMED: usize = 2048;

/// Writes, for each channel, the greatest of every `window` rows of `channels` numbers to a row of
/// `out`. A last, incomplete window is left out.
///
/// ```
/// let mut out = [0.0; 2];
/// kernels::pooling::max_pool(&[1.0, -4.0, 3.0, -6.0, 9.0, 9.0], 2, 2, &mut out);
/// assert_eq!(out, [3.0, -4.0]);
/// ```
///
/// # Panics
/// If `x` is not whole rows, or if the length of `out` is not that of the pooled rows.
pub fn max_pool(x: &[f32], channels: usize, window: usize, out: &mut [f32]) {
    let rows = check_rows(x, channels, window);
    assert_eq!(out.len(), rows * channels, "results of max-pooling");
    Isa::selected().max_pool(x, channels, window, out);
}

/// Computes [`max_pool`] of `|scale * x + offset|`, with an offset per channel. A row of the results
/// starts every `out_stride` numbers of `out`, which need not be filled.
///
/// # Panics
/// If `x` is not whole rows, or if `out` has no room for the pooled rows.
pub fn max_pool_magnitudes(
    x: &[f32],
    scale: f32,
    offsets: &[f32],
    window: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let (channels, rows) = (offsets.len(), check_rows(x, offsets.len(), window));
    assert!(out_stride >= channels, "rows of results overlap");
    assert!(out.len() >= end_of_rows(rows, out_stride, channels), "results of max-pooling");
    Isa::selected().max_pool_magnitudes(x, scale, offsets, window, out, out_stride);
}

/// Returns the number of rows after pooling.
fn check_rows(x: &[f32], channels: usize, window: usize) -> usize {
    assert!(channels > 0 && window > 0, "max-pooling of nothing");
    assert!(x.len().is_multiple_of(channels), "max-pooling of incomplete rows");
    x.len() / channels / window
}

/// Returns the mean of numbers, and their biased variance; zeros if there are none.
///
/// ```
/// assert_eq!(kernels::pooling::mean_and_variance(&[1.0, 3.0]), (2.0, 1.0));
/// ```
pub fn mean_and_variance(x: &[f32]) -> (f64, f64) {
    let isa = Isa::selected();
    // Long sums in f32 would be inexact.
    let blocks = || x.chunks(SUMMED);
    let share = 1.0 / x.len().max(1) as f64;
    let mean = share * blocks().map(|x| f64::from(isa.moments(x, 0.0).0)).sum::<f64>();
    let squares = blocks().map(|x| f64::from(isa.moments(x, mean as f32).1)).sum::<f64>();
    (mean, share * squares)
}

/// Normalizes each channel of `rows` over time to mean 0 and variance 1 (the biased variance, to
/// which `epsilon` is added), multiplies it by its `gamma`, adds its `beta`, and multiplies
/// negative results by [`LEAKY_SLOPE`]: instance norm (Ulyanov et al. 2016) and leaky ReLU.
///
/// # Panics
/// If the lengths do not match.
pub fn instance_norm(rows: &mut [f32], gamma: &[f32], beta: &[f32], epsilon: f32) {
    let channels = gamma.len();
    assert!(channels > 0 && beta.len() == channels, "instance norm of unequal lengths");
    assert!(rows.len().is_multiple_of(channels), "instance norm of incomplete rows");
    let isa = Isa::selected();
    let (mut mean, mut scale) = (vec![0.0; channels], vec![0.0; channels]);
    isa.column_statistics(rows, epsilon, &mut mean, &mut scale);
    // (x - mean) * scale * gamma + beta as x * scale + offset.
    for (((scale, mean), gamma), beta) in scale.iter_mut().zip(&mut mean).zip(gamma).zip(beta) {
        *scale *= gamma;
        *mean = beta - *mean * *scale;
    }
    isa.scale_columns(rows, &scale, &mean, LEAKY_SLOPE);
}
