//! Functions of single rows: layer norm, softmax, gates, addition.

use crate::{isa::Isa, loops};

/// Computes the layer norm (Ba et al. 2016) of rows of `gamma.len()` numbers.
///
/// ```
/// let mut out = [0.0; 2];
/// kernels::pointwise::layer_norm(&[1.0, 3.0], &[1.0, 1.0], &[0.0, 5.0], 0.0, &mut out);
/// assert_eq!(out, [-1.0, 6.0]);
/// ```
///
/// # Panics
/// If the lengths do not match.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    layer_norm_and(x, gamma, beta, epsilon, out, |_, _| {});
}

/// Computes [`layer_norm`] and returns the minimum and maximum of the results and zero.
///
/// # Panics
/// If the lengths do not match.
pub fn layer_norm_with_min_max(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) -> (f32, f32) {
    let mut min_max = (0f32, 0f32);
    layer_norm_and(x, gamma, beta, epsilon, out, |isa, row| {
        let (min, max) = isa.min_max(row);
        min_max = (min_max.0.min(min), min_max.1.max(max));
    });
    min_max
}

fn layer_norm_and(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
    mut each_row: impl FnMut(Isa, &[f32]),
) {
    let width = gamma.len();
    assert!(beta.len() == width && x.len() == out.len(), "layer norm of unequal lengths");
    assert!(width > 0 && x.len().is_multiple_of(width), "layer norm of incomplete rows");
    let isa = Isa::selected();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        isa.layer_norm(x, gamma, beta, epsilon, out);
        each_row(isa, out);
    }
}

/// Computes `softmax(x)` of rows of `width` numbers.
///
/// # Panics
/// If the lengths do not match.
pub fn softmax(x: &[f32], width: usize, out: &mut [f32]) {
    check_rows(x, width, out);
    let isa = Isa::selected();
    out.copy_from_slice(x);
    for row in out.chunks_exact_mut(width) {
        let factor = 1.0 / isa.exponentials(row, 1.0);
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Computes `ln(softmax(x))` of rows of `width` numbers. The results stay finite where `softmax` is
/// zero.
///
/// # Panics
/// If the lengths do not match.
pub fn log_softmax(x: &[f32], width: usize, out: &mut [f32]) {
    check_rows(x, width, out);
    let isa = Isa::selected();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(x);
        let sum = isa.exponentials(out, 1.0);
        let (max, log) = (loops::maximum(x), sum.ln());
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x - max - log);
    }
}

fn check_rows(x: &[f32], width: usize, out: &[f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width), "softmax of incomplete rows");
    assert_eq!(x.len(), out.len(), "softmax of unequal lengths");
}

/// Computes the gated linear unit (Dauphin et al. 2017) of rows of `2 * width` numbers: `a σ(b)` of
/// their halves.
///
/// ```
/// let mut out = [0.0; 2];
/// kernels::pointwise::gated_linear_unit(&[1.0, 2.0, 0.0, 90.0], 2, &mut out);
/// assert_eq!(out, [0.5, 2.0]);
/// ```
///
/// # Panics
/// If the lengths do not match.
pub fn gated_linear_unit(x: &[f32], width: usize, out: &mut [f32]) {
    assert!(width > 0 && out.len().is_multiple_of(width), "gates of incomplete rows");
    assert_eq!(x.len(), 2 * out.len(), "gates of unequal lengths");
    let isa = Isa::selected();
    for (x, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        isa.gated_linear_unit(x, out);
    }
}

/// Computes `silu(x + bias)` of rows of `bias.len()` numbers.
///
/// # Panics
/// If the lengths do not match.
pub fn silu_with_bias(x: &mut [f32], bias: &[f32]) {
    assert!(!bias.is_empty() && x.len().is_multiple_of(bias.len()), "SiLU of incomplete rows");
    let isa = Isa::selected();
    x.chunks_exact_mut(bias.len()).for_each(|row| isa.silu_with_bias(row, bias));
}

/// Adds `x` to `out`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "sum of unequal lengths");
    Isa::selected().add(x, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{
        isa::Isa,
        tests::{assert_close, numbers, sigmoid},
    };

    proptest! {
        #[test]
        fn gates(width in 1usize..100, spread in 1f32..100.0, seed: u64) {
            let x: Vec<f32> = numbers(seed, 2 * width).iter().map(|x| x * spread).collect();
            let bias = numbers(seed ^ 1, width);
            let halves = x.iter().zip(&x[width..]);
            let gated: Vec<f64> =
                halves.map(|(&a, &b)| f64::from(a) * sigmoid(f64::from(b))).collect();
            let silu = |(x, bias): (&f32, &f32)| {
                let sum = f64::from(*x) + f64::from(*bias);
                sum * sigmoid(sum)
            };
            let activated: Vec<f64> = x.iter().zip(&bias).map(silu).collect();
            for &isa in Isa::available() {
                let mut out = vec![f32::NAN; width];
                isa.gated_linear_unit(&x, &mut out);
                assert_close(&out, &gated, 1e-6);
                out.copy_from_slice(&x[..width]);
                isa.silu_with_bias(&mut out, &bias);
                assert_close(&out, &activated, 1e-6);
            }
        }
    }
}
