//! Convolution over time of each channel by itself, in rows of channels.

use crate::{Isa, attention::Rows};

/// `out[t] = Σ_j weights[j] * x[t + j - before]`, channel by channel, with zeros around `x`, and
/// `+ x[t]` if `residual`. `out` is `[time][channels]`, `weights` `[taps][channels]`.
///
/// # Panics
/// If the lengths do not fit together.
pub fn filter(
    x: Rows<'_>,
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    filter_with(Isa::best(), x, weights, channels, before, residual, out);
}

pub(crate) fn filter_with(
    isa: Isa,
    x: Rows<'_>,
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    assert!(channels > 0 && x.holds(channels) && x.count * channels == out.len(), "rows");
    assert!(weights.len().is_multiple_of(channels), "filters");
    let (time, taps) = (x.count, weights.len() / channels);
    for (t, out) in out.chunks_exact_mut(channels).enumerate() {
        // The taps that meet `x`, and what they meet.
        let first = before.saturating_sub(t);
        let last = taps.min(time + before - t);
        if first < last {
            let met = &x.values[(t + first - before) * x.stride..];
            isa.weigh_rows(met, x.stride, &weights[first * channels..last * channels], out);
        } else {
            out.fill(0.0);
        }
        if residual {
            isa.add(x.row(t, channels), out);
        }
    }
}
