//! Portable inner loops over rows.
//!
//! They use no intrinsics: sixteen lanes at a time, without branches and calls, so that the
//! compiler vectorizes them for the registers it may use. The crate compiles them once for each
//! x86-64 instruction set (`x86/macros.rs`); NEON is part of the aarch64 baseline.

use crate::epilogue::LEAKY_SLOPE;

/// Lanes that reductions keep separate.
const LANES: usize = 16;

/// Output rows that [`convolve_rows`] computes per call, so that a row of `x` is loaded once for
/// several of them.
pub(crate) const CONVOLVED_ROWS: usize = 6;

/// Width of the median filter of [`add_medians`].
pub(crate) const MEDIAN_WIDTH: usize = 7;

/// 1.5 * 2^23. Floats of this size are whole numbers: adding it rounds to the nearest, ties to
/// even, and leaves the result in the low bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Reduces in sixteen lanes, then across them.
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
    // Not `f32::max`: its handling of NaN costs a branch.
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    fold(row, start, |max, value| greater(max, of(value)), greater)
}

/// Layer norm of one row.
#[inline(always)]
pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    let count = x.len() as f32;
    let mean = sum(x, |x| x) / count;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((out, x), gamma), beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
        *out = (x - mean) * scale * gamma + beta;
    }
}

/// Computes `x = exp(scale * (x - max(x)))` and returns the sum.
#[inline(always)]
pub(crate) fn exponentials(x: &mut [f32], scale: f32) -> f32 {
    let max = max(x, f32::NEG_INFINITY, |x| x);
    x.iter_mut().for_each(|x| *x = exp((*x - max) * scale));
    sum(x, |x| x)
}

/// Computes the dot product of `x` with each row of `rows`, which have `x.len()` numbers.
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
        // Halving the lanes needs shuffles only.
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        *dot = sums[0];
    }
}

/// Computes `out = Σ_i weights[i] * rows[i]`, for rows of `out.len()` numbers.
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

/// Computes mean and inverse standard deviation of each column of `rows`, 0 for one without deviation.
#[inline(always)]
pub(crate) fn column_statistics(rows: &[f32], mean: &mut [f32], scale: &mut [f32]) {
    let width = mean.len();
    let share = 1.0 / (rows.len() / width).max(1) as f32;
    mean.fill(0.0);
    scale.fill(0.0);
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
    }
    mean.iter_mut().for_each(|mean| *mean *= share);
    for row in rows.chunks_exact(width) {
        for ((sum, x), mean) in scale.iter_mut().zip(row).zip(&*mean) {
            *sum += (x - mean) * (x - mean);
        }
    }
    for scale in scale {
        let deviation = (*scale * share).sqrt();
        *scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    }
}

/// Computes mean and biased variance of each column of `rows`. They are exact for a column that is
/// constant: the first row is subtracted before sums round.
#[inline(always)]
pub(crate) fn column_moments(rows: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let width = mean.len();
    let share = 1.0 / (rows.len() / width).max(1) as f32;
    mean.fill(0.0);
    variance.fill(0.0);
    let Some(first) = rows.get(..width) else { return };
    for row in rows.chunks_exact(width) {
        for ((mean, x), first) in mean.iter_mut().zip(row).zip(first) {
            *mean += x - first;
        }
    }
    for (mean, first) in mean.iter_mut().zip(first) {
        *mean = first + *mean * share;
    }
    for row in rows.chunks_exact(width) {
        for ((sum, x), mean) in variance.iter_mut().zip(row).zip(&*mean) {
            *sum += (x - mean) * (x - mean);
        }
    }
    variance.iter_mut().for_each(|sum| *sum *= share);
}

/// Computes `(x - mean) * scale + offset` of each column, and multiplies negative results by
/// `slope`.
#[inline(always)]
pub(crate) fn scale_columns(
    rows: &mut [f32],
    mean: &[f32],
    scale: &[f32],
    offset: &[f32],
    slope: f32,
) {
    for row in rows.chunks_exact_mut(scale.len()) {
        for (((x, mean), scale), offset) in row.iter_mut().zip(mean).zip(scale).zip(offset) {
            let y = (*x - mean) * scale + offset;
            *x = if y > 0.0 { y } else { y * slope };
        }
    }
}

/// See [`crate::symmetric::fold`].
#[inline(always)]
pub(crate) fn fold_rows(
    samples: &[f32],
    stride: usize,
    sums: &mut [f32],
    differences: &mut [f32],
    half: usize,
) {
    let rows = sums.chunks_exact_mut(half + 1).zip(differences.chunks_exact_mut(half));
    for (index, (sums, differences)) in rows.enumerate() {
        let row = &samples[index * stride..][..2 * half + 1];
        let (left, right) = (&row[..half], &row[half + 1..]);
        for ((sum, a), b) in sums.iter_mut().zip(left).zip(right.iter().rev()) {
            *sum = a + b;
        }
        for ((difference, a), b) in differences.iter_mut().zip(left).zip(right.iter().rev()) {
            *difference = a - b;
        }
        sums[half] = row[half];
    }
}

/// Returns the sums of `x - origin` and of their squares.
#[inline(always)]
pub(crate) fn moments(x: &[f32], origin: f32) -> (f32, f32) {
    (sum(x, |x| x - origin), sum(x, |x| (x - origin) * (x - origin)))
}

/// See [`crate::pooling::max_pool`].
#[inline(always)]
pub(crate) fn max_pool(x: &[f32], channels: usize, window: usize, out: &mut [f32]) {
    pool(x, channels, window, out, channels, |_, x| x);
}

/// See [`crate::pooling::max_pool_magnitudes`].
#[inline(always)]
pub(crate) fn max_pool_magnitudes(
    x: &[f32],
    scale: f32,
    offsets: &[f32],
    window: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let magnitude = |channel: usize, x: f32| (scale * x + offsets[channel]).abs();
    pool(x, offsets.len(), window, out, out_stride, magnitude);
}

#[inline(always)]
fn pool(
    x: &[f32],
    channels: usize,
    window: usize,
    out: &mut [f32],
    out_stride: usize,
    of: impl Fn(usize, f32) -> f32,
) {
    let windows = x.chunks_exact(window * channels);
    for (rows, out) in windows.zip(out.chunks_mut(out_stride)) {
        let out = &mut out[..channels];
        let (first, rest) = rows.split_at(channels);
        for (channel, (out, x)) in out.iter_mut().zip(first).enumerate() {
            *out = of(channel, *x);
        }
        for row in rest.chunks_exact(channels) {
            for (channel, (out, x)) in out.iter_mut().zip(row).enumerate() {
                let x = of(channel, *x);
                *out = if x > *out { x } else { *out };
            }
        }
    }
}

/// Adds to `sum` the medians of seven neighbours of `(row - mean) * scale`, whose ends are reflected;
/// without medians if the row is shorter than the reflections. `padded` is scratch memory, six numbers
/// longer than the row.
#[inline(always)]
pub(crate) fn add_medians(
    row: &[f32],
    mean: &[f32],
    scale: &[f32],
    padded: &mut [f32],
    sum: &mut [f32],
) {
    const PAD: usize = MEDIAN_WIDTH / 2;
    let length = row.len();
    let inner = &mut padded[PAD..PAD + length];
    for (((x, out), mean), scale) in row.iter().zip(&mut *inner).zip(mean).zip(scale) {
        *out = (x - mean) * scale;
    }
    if length <= PAD {
        sum.iter_mut().zip(inner).for_each(|(sum, x)| *sum += *x);
        return;
    }
    for distance in 1..=PAD {
        padded[PAD - distance] = padded[PAD + distance];
        padded[PAD + length - 1 + distance] = padded[PAD + length - 1 - distance];
    }
    let [a, b, c, d, e, f, g]: [&[f32]; MEDIAN_WIDTH] =
        core::array::from_fn(|shift| &padded[shift..shift + length]);
    for (index, sum) in sum[..length].iter_mut().enumerate() {
        *sum += median([a[index], b[index], c[index], d[index], e[index], f[index], g[index]]);
    }
}

/// Returns the median of seven numbers, by a network of comparisons.
#[inline(always)]
fn median(mut x: [f32; MEDIAN_WIDTH]) -> f32 {
    const EXCHANGES: [(usize, usize); 13] = [
        (0, 5),
        (0, 3),
        (1, 6),
        (2, 4),
        (0, 1),
        (3, 5),
        (2, 6),
        (2, 3),
        (3, 6),
        (4, 5),
        (1, 4),
        (1, 3),
        (3, 4),
    ];
    for (low, high) in EXCHANGES {
        let (a, b) = (x[low], x[high]);
        x[low] = if a < b { a } else { b };
        x[high] = if a < b { b } else { a };
    }
    x[3]
}

/// See [`crate::scores::maximum`].
#[inline(always)]
pub(crate) fn maximum(x: &[f32]) -> f32 {
    max(x, f32::NEG_INFINITY, |x| x)
}

/// See [`crate::scores::sum_exp`].
#[inline(always)]
pub(crate) fn sum_exp(x: &[f32], max: f32, scale: f32) -> f32 {
    sum(x, |x| exp((x - max) * scale))
}

#[inline(always)]
pub(crate) fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
}

#[inline(always)]
pub(crate) fn leaky_relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { *x * LEAKY_SLOPE });
}

/// Applies ReLU and returns the maximum of the results.
#[inline(always)]
pub(crate) fn relu_with_max(values: &mut [f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (x, lane) in chunk.iter_mut().zip(&mut lanes) {
            *x = if *x > 0.0 { *x } else { 0.0 };
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    relu(rest);
    max(rest, max(&lanes, 0.0, |x| x), |x| x)
}

/// Computes x Φ(x).
#[inline(always)]
pub(crate) fn gelu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x *= 0.5 + 0.5 * erf(*x * std::f32::consts::FRAC_1_SQRT_2));
}

/// Computes x σ(x).
#[inline(always)]
pub(crate) fn silu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x *= sigmoid(*x));
}

/// Computes `silu(x + bias)`.
#[inline(always)]
pub(crate) fn silu_with_bias(values: &mut [f32], bias: &[f32]) {
    for (x, bias) in values.iter_mut().zip(bias) {
        let sum = *x + bias;
        *x = sum * sigmoid(sum);
    }
}

/// Multiplies the first half of `x` by the sigmoids of the second.
#[inline(always)]
pub(crate) fn gated_linear_unit(x: &[f32], out: &mut [f32]) {
    let (values, gates) = x.split_at(out.len());
    for ((out, value), gate) in out.iter_mut().zip(values).zip(gates) {
        *out = value * sigmoid(*gate);
    }
}

/// Adds `x * weights` to `sums`, as far as there are both.
#[inline(always)]
fn add_products<const BLOCK: usize>(sums: &mut [f32; BLOCK], x: &[f32], weights: &[f32]) {
    match (x.first_chunk::<BLOCK>(), weights.first_chunk::<BLOCK>()) {
        // The same loop as below, with a length that the compiler knows.
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

/// Computes `out = bias + Σ_j weights[j] * x[starts[j]..]`, for weights of `out.len()` numbers per
/// start.
#[inline(always)]
pub(crate) fn weigh_taps(
    x: &[f32],
    starts: &[usize],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    const BLOCK: usize = 4 * LANES;
    let width = out.len();
    for (index, (out, bias)) in out.chunks_mut(BLOCK).zip(bias.chunks(BLOCK)).enumerate() {
        let mut sums = [0f32; BLOCK];
        sums[..bias.len()].copy_from_slice(bias);
        for (start, weights) in starts.iter().zip(weights.chunks_exact(width)) {
            let (x, weights) = (&x[start + index * BLOCK..], &weights[index * BLOCK..]);
            add_products::<BLOCK>(&mut sums, x, weights);
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Quantizes to `round(x * scale) + 128`, where `scale = 127 / max |x|`, and returns the scale.
#[inline(always)]
pub(crate) fn quantize_symmetric(x: &[f32], quantized: &mut [u8]) -> f32 {
    let scale = 127.0 / max(x, 0.0, f32::abs);
    let scale = if scale.is_normal() { scale } else { 1.0 };
    for (q, x) in quantized.iter_mut().zip(x) {
        // The sum is in [ROUND, ROUND + 255], where floats are whole numbers.
        *q = (x * scale + (ROUND + 128.0)).to_bits() as u8;
    }
    scale
}

/// Quantizes to `round(x / scale) + zero_point`, ties to even, clamped to 0..=255.
#[inline(always)]
pub(crate) fn quantize_affine(x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
    let (min, max) = (-f32::from(zero_point), 255.0 - f32::from(zero_point));
    let offset = u32::from(zero_point).wrapping_sub(ROUND.to_bits());
    for (q, x) in out.iter_mut().zip(x) {
        let steps = x / scale;
        let steps = if steps > min { steps } else { min };
        let steps = if steps < max { steps } else { max };
        *q = (steps + ROUND).to_bits().wrapping_add(offset) as u8;
    }
}

/// Returns the minimum and maximum of the values and zero.
#[inline(always)]
pub(crate) fn min_max(x: &[f32]) -> (f32, f32) {
    (-max(x, 0.0, |x| -x), max(x, 0.0, |x| x))
}

#[inline(always)]
pub(crate) fn sum_bytes(x: &[u8]) -> i32 {
    x.iter().map(|&x| i32::from(x)).sum()
}

/// Computes the sum of rows of `out.len()` numbers, each number multiplied by its weight. A row of
/// `x` starts every `stride` numbers.
#[inline(always)]
pub(crate) fn weigh_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 4 * LANES;
    let width = out.len();
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0f32; BLOCK];
        for (x, weights) in x.chunks(stride).zip(weights.chunks_exact(width)) {
            let (x, weights) = (&x[index * BLOCK..], &weights[index * BLOCK..]);
            add_products::<BLOCK>(&mut sums, x, weights);
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Computes `out[t] = Σ_j weights[j] * x[t + j]`, channel by channel, for [`CONVOLVED_ROWS`] rows
/// of `out`. A row of `x` starts every `stride` numbers.
#[inline(always)]
pub(crate) fn convolve_rows(x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
    let channels = out.len() / CONVOLVED_ROWS;
    for first in (0..channels).step_by(LANES) {
        let lanes = LANES.min(channels - first);
        let mut sums = [[0f32; LANES]; CONVOLVED_ROWS];
        for (tap, weights) in weights.chunks_exact(channels).enumerate() {
            let x = &x[tap * stride + first..];
            match weights[first..].first_chunk::<LANES>() {
                // The same loop as below, with a length that the compiler knows.
                Some(weights) if x.len() >= (CONVOLVED_ROWS - 1) * stride + LANES => {
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
pub(crate) fn add(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += x);
}

/// Rounds to bfloat16, ties to even. NaN stays NaN.
#[inline(always)]
pub(crate) fn round_to_bf16(x: &[f32], out: &mut [u16]) {
    for (out, x) in out.iter_mut().zip(x) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        *out = ((if x.is_nan() { bits | 0x0040_0000 } else { rounded }) >> 16) as u16;
    }
}

/// Computes `out = max(x * scale + shift, 0)`.
#[inline(always)]
pub(crate) fn normalize(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
        let value = x * scale + shift;
        *out = if value > 0.0 { value } else { 0.0 };
    }
}

/// Rounds `max(x * scale + shift, 0)` to bfloat16.
#[inline(always)]
pub(crate) fn normalize_to_bf16(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [u16]) {
    for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
        let value = x * scale + shift;
        let value = if value > 0.0 { value } else { 0.0 };
        // As `round_to_bf16`, of a value that is not NaN.
        let bits = value.to_bits();
        *out = (bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16) as u16;
    }
}

/// Converts a bfloat16 to f32.
#[inline(always)]
pub(crate) fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// Computes one step of an LSTM. `gates` are input, output, forget and candidate, before their
/// activations.
#[inline(always)]
pub(crate) fn lstm_cell(gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
    let width = cell.len();
    let (sigmoids, candidate) = gates.split_at_mut(3 * width);
    sigmoids.iter_mut().for_each(|x| *x = sigmoid(*x));
    candidate.iter_mut().for_each(|x| *x = tanh(*x));
    let (input, rest) = sigmoids.split_at(width);
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

/// Computes e^x for x <= 0 to about one unit in the last place. Below -87 the result is that for
/// -87, which is close to zero. NaN stays NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // The polynomial of (e^r - 1 - r) / r² in Cephes' expf.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // Multiplies by 2^n. Adding n to the exponent bits could turn NaN into a number.
    mantissa * f32::from_bits(1f32.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Computes the error function to about 3e-7 with the rational approximation of Eigen and XLA.
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
