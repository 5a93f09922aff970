//! What goes over single rows: layer norm, activations, exponentials, quantization, LSTM cells.
//!
//! The loops are written without intrinsics, sixteen lanes at a time and free of branches and
//! calls, so that the compiler turns them into vectors of whatever width it may use; [`Isa`] has
//! them compiled once for each instruction set.

use crate::{Isa, PostOp};

const LANES: usize = 16;

/// Layer norm (Ba et al. 2016) over rows of `gamma.len()` numbers.
///
/// # Panics
/// If the lengths do not fit together.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    layer_norm_and(x, gamma, beta, epsilon, out, |_, _| {});
}

/// As [`layer_norm`]; returns the least and the greatest of what it gives and zero.
///
/// # Panics
/// If the lengths do not fit together.
pub fn layer_norm_with_min_max(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) -> (f32, f32) {
    let mut min_max = (0f32, 0f32);
    layer_norm_and(x, gamma, beta, epsilon, out, |isa, row| {
        let (least, greatest) = isa.min_max(row);
        min_max = (min_max.0.min(least), min_max.1.max(greatest));
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
    assert!(width > 0 && x.len().is_multiple_of(width), "layer norm over broken rows");
    let isa = Isa::best();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        isa.layer_norm(x, gamma, beta, epsilon, out);
        each_row(isa, out);
    }
}

/// `softmax(x)` over rows of `width` numbers.
///
/// # Panics
/// If the lengths do not fit together.
pub fn softmax(x: &[f32], width: usize, out: &mut [f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width) && x.len() == out.len(), "broken rows");
    let isa = Isa::best();
    out.copy_from_slice(x);
    for row in out.chunks_exact_mut(width) {
        let share = 1.0 / isa.exponentials(row, 1.0);
        row.iter_mut().for_each(|x| *x *= share);
    }
}

/// `ln(softmax(x))` over rows of `width` numbers, which stay finite where `softmax` is zero.
///
/// # Panics
/// If the lengths do not fit together.
pub fn log_softmax(x: &[f32], width: usize, out: &mut [f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width) && x.len() == out.len(), "broken rows");
    let isa = Isa::best();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(x);
        let sum = isa.exponentials(out, 1.0);
        let (max, log) = (max(x, f32::NEG_INFINITY, |x| x), sum.ln());
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x - max - log);
    }
}

/// Adds `x` to `out`, number by number.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "sums");
    Isa::best().add(x, out);
}

/// Applies the activation of `post_op` to every value.
pub fn activate(values: &mut [f32], post_op: PostOp) {
    Isa::best().activate(values, post_op);
}

/// Folds in sixteen lanes, then across them.
#[inline(always)]
fn fold(
    row: &[f32],
    start: f32,
    lane: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (total, &value) in lanes.iter_mut().zip(chunk) {
            *total = lane(*total, value);
        }
    }
    for (total, &value) in lanes.iter_mut().zip(rest) {
        *total = lane(*total, value);
    }
    lanes.into_iter().fold(start, join)
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    fold(row, 0.0, |sum, value| sum + of(value), |a, b| a + b)
}

#[inline(always)]
fn max(row: &[f32], start: f32, of: impl Fn(f32) -> f32) -> f32 {
    // Not `f32::max`, whose care for NaN costs a branch.
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    fold(row, start, |most, value| greater(most, of(value)), greater)
}

/// One row.
#[inline(always)]
pub(crate) fn layer_norm_row(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    let count = x.len() as f32;
    let mean = sum(x, |x| x) / count;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((out, x), gamma), beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
        *out = (x - mean) * scale * gamma + beta;
    }
}

/// `x = exp(scale * (x - max(x)))`; returns the sum.
#[inline(always)]
pub(crate) fn exponentials_row(x: &mut [f32], scale: f32) -> f32 {
    let max = max(x, f32::NEG_INFINITY, |x| x);
    x.iter_mut().for_each(|x| *x = exp((*x - max) * scale));
    sum(x, |x| x)
}

/// The products of `x` with `rows` of as many numbers, one for each of `dots`.
#[inline(always)]
pub(crate) fn dot_rows(x: &[f32], rows: &[f32], dots: &mut [f32]) {
    let (chunks, rest) = x.as_chunks::<LANES>();
    for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(x.len())) {
        let (row_chunks, row_rest) = row.as_chunks::<LANES>();
        let mut sums = [0f32; LANES];
        for (a, b) in chunks.iter().zip(row_chunks) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(rest).zip(row_rest) {
            *sum += a * b;
        }
        // By halves, which takes shuffles only.
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        *dot = sums[0];
    }
}

/// `out = Σ_i weights[i] * rows[i]`, of rows of `out.len()` numbers.
#[inline(always)]
pub(crate) fn mix_rows(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 4 * LANES;
    let width = out.len();
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0f32; BLOCK];
        for (weight, row) in weights.iter().zip(rows.chunks_exact(width)) {
            let row = &row[index * BLOCK..];
            match row.first_chunk::<BLOCK>() {
                Some(row) => sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x),
                None => sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x),
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// See [`crate::scores::maximum`].
#[inline(always)]
pub(crate) fn maximum_of(x: &[f32]) -> f32 {
    max(x, f32::NEG_INFINITY, |x| x)
}

/// See [`crate::scores::sum_exp`].
#[inline(always)]
pub(crate) fn sum_exp_of(x: &[f32], largest: f32, scale: f32) -> f32 {
    sum(x, |x| exp((x - largest) * scale))
}

#[inline(always)]
pub(crate) fn relu_all(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
}

/// As [`relu_all`]; returns the greatest of what is left.
#[inline(always)]
pub(crate) fn relu_with_greatest(values: &mut [f32]) -> f32 {
    let mut greatest = [0f32; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (x, greatest) in chunk.iter_mut().zip(&mut greatest) {
            *x = if *x > 0.0 { *x } else { 0.0 };
            *greatest = if *x > *greatest { *x } else { *greatest };
        }
    }
    relu_all(rest);
    max(rest, max(&greatest, 0.0, |x| x), |x| x)
}

/// x Φ(x).
#[inline(always)]
pub(crate) fn gelu_all(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x *= 0.5 + 0.5 * erf(*x * std::f32::consts::FRAC_1_SQRT_2));
}

/// Quantizes to `round(x * scale) + 128`, scale = 127 / max |x|; returns the scale.
#[inline(always)]
pub(crate) fn quantize_row(x: &[f32], quantized: &mut [u8]) -> f32 {
    let scale = 127.0 / max(x, 0.0, f32::abs);
    let scale = if scale.is_normal() { scale } else { 1.0 };
    for (q, x) in quantized.iter_mut().zip(x) {
        // The sum lies in [ROUND, ROUND + 255], where floats are a whole number apart.
        *q = (x * scale + (ROUND + 128.0)).to_bits() as u8;
    }
    scale
}

/// The sum of rows of `out.len()` numbers, each number times its weight; a row of `x` starts every
/// `stride` numbers.
#[inline(always)]
pub(crate) fn weigh_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 4 * LANES;
    let width = out.len();
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0f32; BLOCK];
        for (x, weights) in x.chunks(stride).zip(weights.chunks_exact(width)) {
            let (x, weights) = (&x[index * BLOCK..], &weights[index * BLOCK..]);
            match (x.first_chunk::<BLOCK>(), weights.first_chunk::<BLOCK>()) {
                (Some(x), Some(weights)) => {
                    for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weights) {
                        *sum += x * weight;
                    }
                }
                _ => {
                    for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weights) {
                        *sum += x * weight;
                    }
                }
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Rows that [`filter_rows`] makes at once, of which each input meets several.
pub(crate) const TIMES: usize = 6;

/// `out[t] = Σ_j weights[j] * x[t + j]`, channel by channel, for [`TIMES`] rows of `out`; a row of
/// `x` starts every `stride` numbers.
#[inline(always)]
pub(crate) fn filter_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
    let channels = out.len() / TIMES;
    for first in (0..channels).step_by(LANES) {
        let lanes = LANES.min(channels - first);
        let mut sums = [[0f32; LANES]; TIMES];
        for (tap, weights) in weights.chunks_exact(channels).enumerate() {
            let x = &x[tap * stride + first..];
            match weights[first..].first_chunk::<LANES>() {
                // As below, with a length that the compiler knows.
                Some(weights) if x.len() >= (TIMES - 1) * stride + LANES => {
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let x = &x[t * stride..t * stride + LANES];
                        for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weights) {
                            *sum += x * weight;
                        }
                    }
                }
                _ => {
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let x = &x[t * stride..][..lanes];
                        for ((sum, x), weight) in sums.iter_mut().zip(x).zip(&weights[first..]) {
                            *sum += x * weight;
                        }
                    }
                }
            }
        }
        for (out, sums) in out.chunks_exact_mut(channels).zip(&sums) {
            out[first..first + lanes].copy_from_slice(&sums[..lanes]);
        }
    }
}

#[inline(always)]
pub(crate) fn add_all(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += x);
}

/// To bfloat16, half to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn round_to_bf16(x: &[f32], out: &mut [u16]) {
    for (out, x) in out.iter_mut().zip(x) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        *out = ((if x.is_nan() { bits | 0x0040_0000 } else { rounded }) >> 16) as u16;
    }
}

/// The least and the greatest of the values and zero.
#[inline(always)]
pub(crate) fn min_max_row(x: &[f32]) -> (f32, f32) {
    (-max(x, 0.0, |x| -x), max(x, 0.0, |x| x))
}

/// `round(x / scale) + zero_point`, rounding half to even, from 0 to 255.
#[inline(always)]
pub(crate) fn quantize_around(x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
    let (least, greatest) = (-f32::from(zero_point), 255.0 - f32::from(zero_point));
    let offset = u32::from(zero_point).wrapping_sub(ROUND.to_bits());
    for (q, x) in out.iter_mut().zip(x) {
        let steps = x / scale;
        let steps = if steps > least { steps } else { least };
        let steps = if steps < greatest { steps } else { greatest };
        *q = (steps + ROUND).to_bits().wrapping_add(offset) as u8;
    }
}

#[inline(always)]
pub(crate) fn sum_row(x: &[u8]) -> i32 {
    x.iter().map(|&x| i32::from(x)).sum()
}

/// One step of an LSTM: `gates` are input, output, forget and candidate, before their activations.
#[inline(always)]
pub(crate) fn lstm_cell(gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
    let width = cell.len();
    let (squashed, candidate) = gates.split_at_mut(3 * width);
    squashed.iter_mut().for_each(|x| *x = sigmoid(*x));
    candidate.iter_mut().for_each(|x| *x = tanh(*x));
    let (input, rest) = squashed.split_at(width);
    let (output, forget) = rest.split_at(width);
    let gates = input.iter().zip(output).zip(forget).zip(candidate);
    for ((((input, output), forget), candidate), (cell, hidden)) in
        gates.zip(cell.iter_mut().zip(hidden))
    {
        *cell = forget * *cell + input * *candidate;
        *hidden = output * tanh(*cell);
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    ((1.0 - e) / (1.0 + e)).copysign(x)
}

/// 1.5 * 2^23: floats of this size are whole numbers, so that adding it rounds half to even, and
/// their low bits are that number.
const ROUND: f32 = 12_582_912.0;

/// e^x for x <= 0, to about one unit in the last place; zero below -87. NaN stays NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Cephes' expf: the polynomial of (e^r - 1 - r) / r².
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // Not a sum of bits, which could make a number of NaN.
    mantissa * f32::from_bits(1f32.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// The error function, to about 3e-7: the rational approximation that Eigen and XLA use.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let y = x * x;
    let p = -2.726_142_3e-10;
    let p = p * y + 2.770_681_4e-8;
    let p = p * y - 2.101_024e-6;
    let p = p * y - 5.692_506_4e-5;
    let p = p * y - 7.349_906_3e-4;
    let p = p * y - 2.954_6e-3;
    let p = p * y - 1.609_603_3e-2;
    let q = -1.456_607_2e-5;
    let q = q * y - 2.133_740_6e-4;
    let q = q * y - 1.682_827e-3;
    let q = q * y - 7.373_329e-3;
    let q = q * y - 1.426_473_9e-2;
    x * p / q
}
