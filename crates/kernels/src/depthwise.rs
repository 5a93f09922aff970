//! Depthwise convolutions over one or two axes, for rows of channels.

use crate::{convolution::Window, isa::Isa, loops::CONVOLVED_ROWS, rows::Rows};

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

/// Computes a depthwise convolution of `x`, `[height, width, channels]`, and adds the bias. `weights`
/// are `[kernel height, kernel width, channels]`. Writes `[height, width, channels]` as
/// [`Window::output`] says.
///
/// # Panics
/// If the lengths do not match, or if the output would be empty.
pub fn convolve_planes(
    x: &[f32],
    shape: [usize; 2],
    weights: &[f32],
    bias: &[f32],
    window: &Window,
    out: &mut [f32],
) {
    convolve_planes_with(Isa::selected(), x, shape, weights, bias, window, out);
}

pub(crate) fn convolve_planes_with(
    isa: Isa,
    x: &[f32],
    [height, width]: [usize; 2],
    weights: &[f32],
    bias: &[f32],
    window: &Window,
    out: &mut [f32],
) {
    let channels = bias.len();
    let [out_height, out_width] = window.output([height, width]).expect("an output of a size");
    assert_eq!(x.len(), height * width * channels, "input of a convolution");
    assert_eq!(out.len(), out_height * out_width * channels, "output of a convolution");
    let [tall, wide] = window.kernel;
    assert_eq!(weights.len(), tall * wide * channels, "weights of a convolution");
    let (mut starts, mut inside) = (Vec::new(), Vec::new());
    for (index, out) in out.chunks_exact_mut(channels).enumerate() {
        let at = [index / out_width, index % out_width];
        // Where tap `tap` of an axis reads, if that is inside of the input.
        let source = |axis: usize, tap: usize, length: usize| {
            let padded = at[axis] * window.stride[axis] + tap * window.dilation[axis];
            padded.checked_sub(window.before[axis]).filter(|&source| source < length)
        };
        starts.clear();
        inside.clear();
        for tap in 0..tall * wide {
            let (y, x) = (source(0, tap / wide, height), source(1, tap % wide, width));
            if let (Some(y), Some(x)) = (y, x) {
                starts.push((y * width + x) * channels);
                inside.push(tap);
            }
        }
        if inside.len() == tall * wide {
            isa.weigh_taps(x, &starts, weights, bias, out);
        } else {
            let weights: Vec<f32> = inside
                .iter()
                .flat_map(|tap| &weights[tap * channels..][..channels])
                .copied()
                .collect();
            isa.weigh_taps(x, &starts, &weights, bias, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{assert_close, numbers, windows};

    proptest! {
        #[test]
        fn convolution_of_planes(
            window in windows(), shape in [1usize..9, 1usize..9], channels in 1usize..140,
            seed: u64,
        ) {
            let Some([out_height, out_width]) = window.output(shape) else { return Ok(()) };
            let taps = window.kernel[0] * window.kernel[1];
            let x = numbers(seed, shape[0] * shape[1] * channels);
            let weights = numbers(seed ^ 1, taps * channels);
            let bias = numbers(seed ^ 2, channels);
            let expected: Vec<f64> = (0..out_height * out_width * channels).map(|at| {
                let (channel, position) = (at % channels, at / channels);
                let at = [position / out_width, position % out_width];
                let inside = |axis: usize, tap: usize| {
                    let source = at[axis] * window.stride[axis] + tap * window.dilation[axis];
                    source.checked_sub(window.before[axis]).filter(|&at| at < shape[axis])
                };
                let product = |tap: usize| {
                    let y = inside(0, tap / window.kernel[1])?;
                    let x_at = inside(1, tap % window.kernel[1])?;
                    let value = x[(y * shape[1] + x_at) * channels + channel];
                    Some(f64::from(value) * f64::from(weights[tap * channels + channel]))
                };
                f64::from(bias[channel]) + (0..taps).filter_map(product).sum::<f64>()
            }).collect();
            for &isa in Isa::available() {
                let mut out = vec![f32::NAN; expected.len()];
                convolve_planes_with(isa, &x, shape, &weights, &bias, &window, &mut out);
                assert_close(&out, &expected, 2e-6);
            }
        }
    }
}
