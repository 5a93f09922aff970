//! The reference: what every other instruction set must compute too.

use crate::{Finish, PANEL};

/// One panel of a float product; see [`crate::float::Tile`].
pub(crate) fn float_panel(tile: crate::float::Tile<'_>, out: &mut [f32]) {
    let columns = tile.columns;
    for row in 0..tile.rows {
        let a = &tile.a[row * tile.a_stride..][..tile.depth];
        let mut sums = [0f32; PANEL];
        if let Some(bias) = tile.bias {
            sums[..columns].copy_from_slice(bias);
        }
        for (&a, b) in a.iter().zip(tile.panel.as_chunks::<PANEL>().0) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
        let out = &mut out[row * tile.out_stride..][..columns];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if tile.add { *out + sum } else { sum };
        }
    }
}

pub(crate) fn finish(values: &mut [f32], finish: Finish) {
    match finish {
        Finish::Store | Finish::Add => {}
        Finish::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        Finish::Gelu => values.iter_mut().for_each(|value| *value = gelu(*value)),
    }
}

pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Abramowitz and Stegun 7.1.26 in f64: absolute error below 1.5e-7, about one bit of f32.
fn erf(x: f32) -> f32 {
    let z = f64::from(x.abs());
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (1.0 - series * (-z * z).exp()).copysign(f64::from(x)) as f32
}

pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    let count = x.len() as f32;
    let mean = x.iter().sum::<f32>() / count;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((out, x), gamma), beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
        *out = (x - mean) * scale * gamma + beta;
    }
}

/// `x = exp(scale * (x - max(x)))`; returns the sum.
pub(crate) fn exponentials(x: &mut [f32], scale: f32) -> f32 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x {
        *x = ((*x - max) * scale).exp();
        sum += *x;
    }
    sum
}
