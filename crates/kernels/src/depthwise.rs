//! Convolution over time of each channel by itself, in rows of channels.

use crate::{Isa, Rows, pointwise::TIMES};

/// `out[t] = Σ_j weights[j] * x[t + j - before]`, channel by channel, with zeros around `x`, and
/// `+ x[t]` if `residual`. `out` is `[time][channels]`, `weights` `[taps][channels]`.
///
/// # Panics
/// If the lengths do not fit together.
pub fn convolve(
    x: Rows<'_>,
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    convolve_with(Isa::best(), x, weights, channels, before, residual, out);
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
    assert!(channels > 0 && x.stride >= channels && x.holds(channels), "rows");
    assert_eq!(x.count * channels, out.len(), "rows");
    assert!(weights.len().is_multiple_of(channels), "filters");
    let (time, taps) = (x.count, weights.len() / channels);
    // Where all taps meet `x`, rows are filtered together.
    let whole =
        before.min(time)..(time + before + 1).saturating_sub(taps).clamp(before.min(time), time);
    let (start, rest) = out.split_at_mut(whole.start * channels);
    let (middle, end) = rest.split_at_mut(whole.len() / TIMES * TIMES * channels);
    let mut t = 0;
    for out in start.chunks_exact_mut(channels) {
        filter_row(isa, x, weights, before, t, out);
        t += 1;
    }
    for out in middle.chunks_exact_mut(TIMES * channels) {
        isa.filter_rows(&x.values[(t - before) * x.stride..], x.stride, weights, out);
        t += TIMES;
    }
    for out in end.chunks_exact_mut(channels) {
        filter_row(isa, x, weights, before, t, out);
        t += 1;
    }
    if residual {
        for (t, out) in out.chunks_exact_mut(channels).enumerate() {
            isa.add(x.row(t, channels), out);
        }
    }
}

fn filter_row(isa: Isa, x: Rows<'_>, weights: &[f32], before: usize, t: usize, out: &mut [f32]) {
    let (channels, taps) = (out.len(), weights.len() / out.len());
    // The taps that meet `x`, and what they meet.
    let first = before.saturating_sub(t);
    let last = taps.min(x.count + before - t);
    if first < last {
        let met = &x.values[(t + first - before) * x.stride..];
        isa.weigh_rows(met, x.stride, &weights[first * channels..last * channels], out);
    } else {
        out.fill(0.0);
    }
}
