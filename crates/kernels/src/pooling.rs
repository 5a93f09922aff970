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
    mean_and_variance_with(Isa::selected(), x)
}

fn mean_and_variance_with(isa: Isa, x: &[f32]) -> (f64, f64) {
    // Long sums in f32 would be inexact.
    let blocks = || x.chunks(SUMMED);
    let share = 1.0 / x.len().max(1) as f64;
    let mean = share * blocks().map(|x| f64::from(isa.moments(x, 0.0).0)).sum::<f64>();
    let squares = blocks().map(|x| f64::from(isa.moments(x, mean as f32).1)).sum::<f64>();
    (mean, share * squares)
}

/// Normalizes each channel of `rows` over time to mean 0 and variance 1 (the biased variance, to
/// which `epsilon` is added), multiplies it by its `gamma`, adds its `beta`, and multiplies
/// negative results by [`LEAKY_SLOPE`]: instance norm (Ulyanov et al. 2016) and leaky ReLU. A channel
/// that is constant, as all are in digital silence, becomes its `beta`, whatever the rounding of
/// sums.
///
/// # Panics
/// If the lengths do not match.
pub fn instance_norm(rows: &mut [f32], gamma: &[f32], beta: &[f32], epsilon: f32) {
    let channels = gamma.len();
    assert!(channels > 0 && beta.len() == channels, "instance norm of unequal lengths");
    assert!(rows.len().is_multiple_of(channels), "instance norm of incomplete rows");
    instance_norm_with(Isa::selected(), rows, gamma, beta, epsilon);
}

fn instance_norm_with(isa: Isa, rows: &mut [f32], gamma: &[f32], beta: &[f32], epsilon: f32) {
    let channels = gamma.len();
    let (mut mean, mut scale) = (vec![0.0; channels], vec![0.0; channels]);
    isa.column_moments(rows, &mut mean, &mut scale);
    for (scale, gamma) in scale.iter_mut().zip(gamma) {
        *scale = gamma / (*scale + epsilon).sqrt();
    }
    isa.scale_columns(rows, &mean, &scale, beta, LEAKY_SLOPE);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{assert_close, numbers};

    /// Returns the mean and the biased variance.
    fn naive_moments(x: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
        let count = x.clone().count().max(1) as f64;
        let mean = x.clone().map(f64::from).sum::<f64>() / count;
        (mean, x.map(|x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count)
    }

    proptest! {
        #[test]
        fn windows_are_pooled(
            rows in 0usize..20, channels in 1usize..90, window in 1usize..5, gap in 0usize..3,
            scale in -3f32..3.0, seed: u64,
        ) {
            let (x, offsets) = (numbers(seed, rows * channels), numbers(seed ^ 1, channels));
            let (pooled, stride) = (rows / window, channels + gap);
            let greatest = |of: &dyn Fn(usize, f32) -> f64| -> Vec<f64> {
                (0..pooled * channels).map(|at| {
                    let (row, channel) = (at / channels * window, at % channels);
                    let values = (row..row + window).map(|row| of(channel, x[row * channels + channel]));
                    values.fold(f64::NEG_INFINITY, f64::max)
                }).collect()
            };
            let plain = greatest(&|_, x| f64::from(x));
            let magnitudes = greatest(&|channel, x| {
                (f64::from(scale) * f64::from(x) + f64::from(offsets[channel])).abs()
            });
            for &isa in Isa::available() {
                let mut out = vec![f32::NAN; pooled * channels];
                isa.max_pool(&x, channels, window, &mut out);
                assert_close(&out, &plain, 0.0);
                let mut out = vec![7.0; pooled * stride];
                isa.max_pool_magnitudes(&x, scale, &offsets, window, &mut out, stride);
                prop_assert!(out.chunks(stride).all(|row| row[channels..].iter().all(|&x| x == 7.0)));
                let out: Vec<f32> =
                    out.chunks(stride).flat_map(|row| &row[..channels]).copied().collect();
                assert_close(&out, &magnitudes, 1e-6);
            }
        }

        #[test]
        fn channels_are_normalized(
            rows in 1usize..60, channels in 1usize..90, spread in 0f32..30.0, seed: u64,
        ) {
            let x: Vec<f32> = numbers(seed, rows * channels).iter().map(|x| x * spread).collect();
            let (gamma, beta) = (numbers(seed ^ 1, channels), numbers(seed ^ 2, channels));
            let expected: Vec<f64> = (0..rows * channels).map(|at| {
                let channel = at % channels;
                let (mean, variance) = naive_moments(x.iter().skip(channel).step_by(channels).copied());
                let normal = (f64::from(x[at]) - mean) / (variance + 1e-5).sqrt();
                let y = normal * f64::from(gamma[channel]) + f64::from(beta[channel]);
                y.max(y * f64::from(LEAKY_SLOPE))
            }).collect();
            for &isa in Isa::available() {
                let mut out = x.clone();
                instance_norm_with(isa, &mut out, &gamma, &beta, 1e-5);
                assert_close(&out, &expected, 2e-4);
            }
        }

        #[test]
        fn constant_channels_become_their_beta(
            rows in 1usize..6000, level in -9f32..9.0, beta in -3f32..3.0,
        ) {
            for &isa in Isa::available() {
                let mut out = vec![level; 3 * rows];
                instance_norm_with(isa, &mut out, &[1.0, -2.0, 3.0], &[beta; 3], 1e-5);
                let expected = if beta > 0.0 { beta } else { beta * LEAKY_SLOPE };
                prop_assert!(out.iter().all(|&y| y == expected), "{out:?}");
            }
        }

        #[test]
        fn moments_of_many_numbers(count in 0usize..9000, origin in -9f32..9.0, seed: u64) {
            let x: Vec<f32> = numbers(seed, count).iter().map(|x| x + origin).collect();
            let (mean, variance) = naive_moments(x.iter().copied());
            for &isa in Isa::available() {
                let found = mean_and_variance_with(isa, &x);
                prop_assert!((found.0 - mean).abs() < 1e-5, "{} is not {mean}", found.0);
                prop_assert!((found.1 - variance).abs() < 1e-5, "{} is not {variance}", found.1);
            }
        }
    }
}
