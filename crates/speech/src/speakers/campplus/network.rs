//! The layers of CAM++, and how they are computed.

use std::cell::RefCell;

use kernels::Rows;

use super::layer::{Layer, rows};

/// CAM++: two-dimensional convolutions over mel bins and time, then densely connected layers over
/// time, then statistics over time.
pub(in super::super) struct Network {
    pub(super) first: Layer,
    pub(super) residual_blocks: Vec<ResidualBlock>,
    pub(super) last: Layer,
    /// From the channels of all bins to those of the first dense block, with a stride over time.
    pub(super) entry: Layer,
    pub(super) dense_blocks: Vec<DenseBlock>,
    /// From mean and standard deviation of each channel to the embedding.
    pub(super) embedding: Layer,
}

/// Two convolutions, whose input is added to their output.
pub(super) struct ResidualBlock {
    pub(super) first: Layer,
    pub(super) second: Layer,
    /// Convolution of what is added, if its shape is another one.
    pub(super) shortcut: Option<Layer>,
}

/// Layers that each append channels to their input, and a linear layer.
pub(super) struct DenseBlock {
    pub(super) layers: Vec<DenseLayer>,
    pub(super) transition: Layer,
}

/// Appends `local(reduce(x))`, weighted per channel by context.
pub(super) struct DenseLayer {
    pub(super) reduce: Layer,
    pub(super) local: Layer,
    /// Two linear layers to the logits of the weights.
    pub(super) context: [Layer; 2],
    /// Frames whose mean is the context, besides the mean of all.
    pub(super) segment: usize,
}

/// Buffers of a run, which grow to what a batch needs: 3 MB, and 0.5 MB per window of 1.5 s.
#[derive(Default)]
struct Scratch {
    input: Vec<f32>,
    planes: [Vec<f32>; 3],
    frames: Vec<f32>,
    block: Vec<f32>,
    hidden: Vec<f32>,
    local: Vec<f32>,
    context: [Vec<f32>; 3],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Network {
    /// Computes the embeddings of `features`, `[windows, frames, bins]`, of at least one frame:
    /// `[windows, width]`.
    pub(in super::super) fn run(&self, features: &[f32], windows: usize, bins: usize) -> Vec<f32> {
        SCRATCH.with_borrow_mut(|scratch| self.run_with(scratch, features, windows, bins))
    }

    fn run_with(
        &self,
        scratch: &mut Scratch,
        features: &[f32],
        windows: usize,
        bins: usize,
    ) -> Vec<f32> {
        let mut x = Vec::new();
        let mut frames = 0;
        for features in features.chunks_exact(features.len() / windows) {
            self.run_planes(scratch, features, bins);
            let time = scratch.frames.len() / self.entry.channels();
            let out = &mut scratch.hidden;
            [_, frames] = self.entry.run_rows(&scratch.frames, [1, time], out);
            x.extend_from_slice(out);
        }
        for block in &self.dense_blocks {
            block.run(scratch, windows, frames, &mut x);
        }
        let channels = x.len() / (windows * frames);
        let mut pooled = Vec::with_capacity(2 * windows * channels);
        for window in x.chunks_exact(frames * channels) {
            append_statistics(window, channels, &mut pooled);
        }
        let mut embeddings = Vec::new();
        self.embedding.run_rows(&pooled, [1, windows], &mut embeddings);
        embeddings
    }

    /// Computes the two-dimensional part of one window, `[frames, bins]`, and writes
    /// `[frames, channels of all bins]` to `scratch.frames`.
    fn run_planes(&self, scratch: &mut Scratch, features: &[f32], bins: usize) {
        let Scratch { input, planes: [x, a, b], frames: out, .. } = scratch;
        let frames = features.len() / bins;
        input.resize(features.len(), 0.0);
        for (bin, row) in input.chunks_exact_mut(frames).enumerate() {
            row.iter_mut().zip(features[bin..].iter().step_by(bins)).for_each(|(to, x)| *to = *x);
        }
        let mut shape = self.first.run_rows(input, [bins, frames], x);
        for block in &self.residual_blocks {
            let inner = block.first.run_rows(x, shape, a);
            let hidden = rows(a, block.second.channels());
            // The output replaces what is added to it or, after a shortcut, the input.
            if let Some(shortcut) = &block.shortcut {
                shortcut.run_rows(x, shape, b);
                shape = block.second.run(hidden, inner, Some(b.as_slice()), x);
            } else {
                shape = block.second.run(hidden, inner, Some(x.as_slice()), b);
                std::mem::swap(x, b);
            }
        }
        let [height, width] = self.last.run_rows(x, shape, a);
        let channels = self.last.outputs();
        out.resize(a.len(), 0.0);
        for (bin, row) in a.chunks_exact(width * channels).enumerate() {
            let columns = out.chunks_exact_mut(height * channels);
            for (to, from) in columns.zip(row.chunks_exact(channels)) {
                to[bin * channels..][..channels].copy_from_slice(from);
            }
        }
    }
}

impl DenseBlock {
    /// Replaces `x`, `[windows, frames, channels]`.
    fn run(&self, scratch: &mut Scratch, windows: usize, frames: usize, x: &mut Vec<f32>) {
        let Scratch { block, hidden, local, context, .. } = scratch;
        let (rows_in_all, width) = (windows * frames, self.transition.channels());
        let mut used = x.len() / rows_in_all;
        block.resize(rows_in_all * width, 0.0);
        for (to, from) in block.chunks_exact_mut(width).zip(x.chunks_exact(used)) {
            to[..used].copy_from_slice(from);
        }
        for layer in &self.layers {
            let input = Rows { values: block, stride: width, count: rows_in_all };
            layer.reduce.run(input, [1, rows_in_all], None, hidden);
            layer.local.run_rows(hidden, [windows, frames], local);
            layer.weights(hidden, frames, context);
            let (weights, added) = (&context[0], layer.local.outputs());
            let per_window = frames.div_ceil(layer.segment);
            let outs = block.chunks_exact_mut(width).zip(local.chunks_exact(added));
            for (row, (out, local)) in outs.enumerate() {
                let segment = row / frames * per_window + row % frames / layer.segment;
                let weights = &weights[segment * added..][..added];
                let out = &mut out[used..][..added];
                for ((out, local), weight) in out.iter_mut().zip(local).zip(weights) {
                    *out = local * weight;
                }
            }
            used += added;
        }
        let input = Rows { values: block, stride: width, count: rows_in_all };
        self.transition.run(input, [1, rows_in_all], None, x);
    }
}

impl DenseLayer {
    /// Computes the weights of the channels for each segment of each window: `[windows, segments,
    /// channels]` in `buffers[0]`.
    fn weights(&self, hidden: &[f32], frames: usize, buffers: &mut [Vec<f32>; 3]) {
        let [context, squeezed, total] = buffers;
        let width = self.reduce.outputs();
        context.clear();
        total.resize(width, 0.0);
        for window in hidden.chunks_exact(frames * width) {
            let first = context.len();
            total.fill(0.0);
            for segment in window.chunks(self.segment * width) {
                let at = context.len();
                context.resize(at + width, 0.0);
                let sum = &mut context[at..];
                for row in segment.chunks_exact(width) {
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                total.iter_mut().zip(&*sum).for_each(|(total, sum)| *total += sum);
                let count = (segment.len() / width) as f32;
                sum.iter_mut().for_each(|sum| *sum /= count);
            }
            for mean in context[first..].chunks_exact_mut(width) {
                mean.iter_mut().zip(&*total).for_each(|(mean, sum)| *mean += sum / frames as f32);
            }
        }
        let [squeeze, excite] = &self.context;
        let count = context.len() / width;
        squeeze.run_rows(context, [1, count], squeezed);
        excite.run_rows(squeezed, [1, count], context);
        context.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
    }
}

/// Appends mean and standard deviation of each channel of `[frames, channels]`; a single frame has
/// no deviation.
fn append_statistics(x: &[f32], channels: usize, out: &mut Vec<f32>) {
    let frames = x.len() / channels;
    let first = out.len();
    out.resize(first + 2 * channels, 0.0);
    let (means, deviations) = out[first..].split_at_mut(channels);
    for row in x.chunks_exact(channels) {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    means.iter_mut().for_each(|sum| *sum /= frames as f32);
    for row in x.chunks_exact(channels) {
        let values = deviations.iter_mut().zip(row).zip(&*means);
        values.for_each(|((sum, x), mean)| *sum += (x - mean) * (x - mean));
    }
    let count = frames.saturating_sub(1).max(1) as f32;
    deviations.iter_mut().for_each(|sum| *sum = (*sum / count).sqrt());
}
