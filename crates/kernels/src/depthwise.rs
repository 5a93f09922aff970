//! Depthwise convolution over time, for rows of channels.

use crate::{isa::Isa, loops::CONVOLVED_ROWS, rows::Rows};

/// Computes `out[t] = Σ_j weights[j] * x[t + j - before]` for each channel, with zeros around `x`,
/// and adds `x[t]` if `residual`. `out` is `[time][channels]`, `weights` is `[taps][channels]`.
///
/// # Panics
/// If the lengths do not match.
pub fn convolve(
    x: Rows<'_>,
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    convolve_with(Isa::selected(), x, weights, channels, before, residual, out);
}

pub(crate) fn convolve_with(
    isa: Isa,
    x: Rows<'_>,
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    assert!(channels > 0 && x.stride >= channels && x.holds(channels), "input of a convolution");
    assert_eq!(x.count * channels, out.len(), "output of a convolution");
    assert!(weights.len().is_multiple_of(channels), "weights of a convolution");
    let (time, taps) = (x.count, weights.len() / channels);
    // Rows for which no tap is outside of `x` are computed several at a time.
    let inner =
        before.min(time)..(time + before + 1).saturating_sub(taps).clamp(before.min(time), time);
    let (start, rest) = out.split_at_mut(inner.start * channels);
    let (middle, end) = rest.split_at_mut(inner.len() / CONVOLVED_ROWS * CONVOLVED_ROWS * channels);
    let mut t = 0;
    for out in start.chunks_exact_mut(channels) {
        convolve_row(isa, x, weights, before, t, out);
        t += 1;
    }
    for out in middle.chunks_exact_mut(CONVOLVED_ROWS * channels) {
        isa.convolve_rows(&x.values[(t - before) * x.stride..], x.stride, weights, out);
        t += CONVOLVED_ROWS;
    }
    for out in end.chunks_exact_mut(channels) {
        convolve_row(isa, x, weights, before, t, out);
        t += 1;
    }
    if residual {
        for (t, out) in out.chunks_exact_mut(channels).enumerate() {
            isa.add(x.row(t, channels), out);
        }
    }
}

/// Computes row `t` of the output from the taps that are inside of `x`.
fn convolve_row(isa: Isa, x: Rows<'_>, weights: &[f32], before: usize, t: usize, out: &mut [f32]) {
    let (channels, taps) = (out.len(), weights.len() / out.len());
    let first = before.saturating_sub(t);
    let last = taps.min(x.count + before - t);
    if first < last {
        let inputs = &x.values[(t + first - before) * x.stride..];
        isa.weigh_rows(inputs, x.stride, &weights[first * channels..last * channels], out);
    } else {
        out.fill(0.0);
    }
}
