//! Convolution over time of each channel by itself, in rows of channels.

use crate::Isa;

/// `out[t] = Σ_j weights[j] * x[t + j - before]`, channel by channel, with zeros around `x`, and
/// `+ x[t]` if `residual`. `x` and `out` are `[time][channels]`, `weights` `[taps][channels]`.
///
/// # Panics
/// If the lengths do not fit together.
pub fn filter(
    x: &[f32],
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
    x: &[f32],
    weights: &[f32],
    channels: usize,
    before: usize,
    residual: bool,
    out: &mut [f32],
) {
    assert!(channels > 0 && x.len().is_multiple_of(channels), "rows of {channels} channels");
    assert!(weights.len().is_multiple_of(channels) && x.len() == out.len(), "filters");
    let (time, taps) = (x.len() / channels, weights.len() / channels);
    for (t, out) in out.chunks_exact_mut(channels).enumerate() {
        // The taps that meet `x`, and what they meet.
        let first = before.saturating_sub(t);
        let last = taps.min(time + before - t);
        if first < last {
            let x = &x[(t + first - before) * channels..(t + last - before) * channels];
            isa.weigh_rows(x, &weights[first * channels..last * channels], out);
        } else {
            out.fill(0.0);
        }
        if residual {
            isa.add(&x[t * channels..][..channels], out);
        }
    }
}
