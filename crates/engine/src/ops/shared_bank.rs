//! A bank of filters over overlapping chunks of samples, computed once for all of them.

use std::ops::Range;

use kernels::pooling;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::f32_macs,
    filter_bank::{Folded, Part},
    pool::pooled_tensor,
    pooled_convolution::WINDOW,
    support::{floats, operator},
};
use crate::{error::Error, segmentation::InstanceNorm};

/// Rows of the bank that are computed at once, so that they stay in the cache. Whole windows.
const BLOCK: usize = 96;

/// The first block of SincNet (Ravanelli and Bengio 2018) for chunks of samples: instance norm of
/// the chunk, a bank of filters, magnitude, the maximum of every three rows, instance norm over
/// time, leaky ReLU. Takes samples `[n]` and the first sample of each chunk, i64 `[chunks]`, a
/// multiple of three strides, and returns `[chunks, rows, filters]`.
///
/// The norm of a chunk is `x -> a x + c` with two numbers per chunk, and a filter is linear: it
/// returns `a y + c s`, where `y` is what it returns for the samples as they are and `s` the sum of
/// its taps. So the filters, most of the cost, run once for all chunks that share samples.
#[derive(Debug, Clone)]
pub(crate) struct SharedBank {
    layer: Arc<Layer>,
}

struct Layer {
    parts: Vec<Part>,
    /// Sum of the taps of each filter.
    tap_sums: Vec<f32>,
    taps: usize,
    stride: usize,
    /// Samples of a chunk.
    chunk: usize,
    /// Norm of the samples of a chunk: one channel.
    chunk_norm: InstanceNorm,
    norm: InstanceNorm,
}

impl SharedBank {
    /// Packs `filters`, `[filters, taps]`.
    ///
    /// # Errors
    /// [`Error::Graph`] if the sizes do not fit.
    pub(crate) fn new(
        filters: &[f32],
        stride: usize,
        chunk: usize,
        chunk_norm: InstanceNorm,
        norm: InstanceNorm,
    ) -> Result<Self, Error> {
        let count = norm.gamma.len();
        let taps = filters.len().checked_div(count).unwrap_or(0);
        let fits = taps > 0 && count * taps == filters.len();
        if !fits || stride == 0 || chunk < taps || !chunk_norm.fits(1) || !norm.fits(count) {
            let message = format!(
                "{} taps do not fit {count} filters, stride {stride}, and chunks of {chunk}",
                filters.len()
            );
            return Err(Error::graph(message));
        }
        let tap_sums = filters.chunks_exact(taps).map(|filter| filter.iter().sum()).collect();
        let parts = Part::of_bank(filters, taps);
        let layer = Layer { parts, tap_sums, taps, stride, chunk, chunk_norm, norm };
        Ok(Self { layer: Arc::new(layer) })
    }
}

impl Layer {
    fn filters(&self) -> usize {
        self.tap_sums.len()
    }

    /// Rows that a chunk has after pooling.
    fn pooled_rows(&self) -> usize {
        ((self.chunk - self.taps) / self.stride + 1) / WINDOW
    }

    /// Writes the pooled rows of the chunks that begin at the rows `starts` to `out`.
    fn run(&self, samples: &[f32], starts: &[usize], out: &mut [f32]) {
        let (filters, pooled) = (self.filters(), self.pooled_rows());
        let scales: Vec<(f32, Vec<f32>)> = starts
            .iter()
            .map(|start| {
                let (scale, offset) =
                    self.chunk_norm.of_samples(&samples[start * self.stride..][..self.chunk]);
                (scale, self.tap_sums.iter().map(|sum| offset * sum).collect())
            })
            .collect();
        let rows_of = |start: usize| start..start + pooled * WINDOW;
        let end = starts.iter().map(|&start| rows_of(start).end).max().unwrap_or(0);
        let (mut folded, mut block) = (Folded::default(), vec![0.0; BLOCK * filters]);
        for first in (0..end).step_by(BLOCK) {
            let rows = first..end.min(first + BLOCK);
            let overlaps = |start: usize| intersection(&rows, &rows_of(start));
            if starts.iter().all(|&start| overlaps(start).is_empty()) {
                continue;
            }
            let x = &samples[first * self.stride..];
            folded.fill(&self.parts, x, self.taps, self.stride, rows.len());
            for part in &self.parts {
                let count = part.filters();
                let block = &mut block[..rows.len() * count];
                part.apply(x, &folded, self.stride, rows.len(), block);
                let chunks = out.chunks_exact_mut(pooled * filters);
                for ((&start, (scale, offsets)), out) in starts.iter().zip(&scales).zip(chunks) {
                    let shared = overlaps(start);
                    if shared.is_empty() {
                        continue;
                    }
                    let x = &block[(shared.start - first) * count..][..shared.len() * count];
                    let out = &mut out[(shared.start - start) / WINDOW * filters + part.first..];
                    let offsets = &offsets[part.first..][..count];
                    pooling::max_pool_magnitudes(x, *scale, offsets, WINDOW, out, filters);
                }
            }
        }
        out.chunks_exact_mut(pooled * filters).for_each(|out| self.norm.apply(out));
    }

    /// Returns the row of the bank that a chunk begins at.
    fn start(&self, sample: i64, samples: usize) -> TractResult<usize> {
        let start = usize::try_from(sample).ok().filter(|start| {
            start.is_multiple_of(self.stride * WINDOW)
                && start.checked_add(self.chunk).is_some_and(|end| end <= samples)
        });
        let start = start.with_context(|| {
            format!("no chunk of {} begins at sample {sample} of {samples}", self.chunk)
        })?;
        Ok(start / self.stride)
    }
}

fn intersection(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} filters of {} / {}", self.filters(), self.taps, self.stride)
    }
}

impl PartialEq for SharedBank {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layer, &other.layer)
    }
}

impl Eq for SharedBank {}

operator!(SharedBank);

impl EvalOp for SharedBank {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let samples = floats(&inputs[0])?;
        let starts = inputs[1].try_as_plain_ram()?.as_slice::<i64>()?;
        let starts: Vec<usize> = starts
            .iter()
            .map(|&start| self.layer.start(start, samples.len()))
            .collect::<TractResult<_>>()?;
        let shape = [starts.len(), self.layer.pooled_rows(), self.layer.filters()];
        let mut out = pooled_tensor::<f32>(&shape)?;
        self.layer.run(samples, &starts, out.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for SharedBank {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[samples, starts] = inputs else { bail!("takes samples and starts") };
        ensure!(
            samples.datum_type == f32::datum_type() && samples.rank() == 1,
            "takes samples [n]"
        );
        ensure!(starts.datum_type == i64::datum_type() && starts.rank() == 1, "takes [chunks]");
        let (rows, filters) = (self.layer.pooled_rows().to_dim(), self.layer.filters().to_dim());
        Ok(tvec!(f32::fact([starts.shape[0].clone(), rows, filters])))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let Layer { taps, stride, .. } = *self.layer;
        let rows = (inputs[0].shape[0].clone() - taps) / stride + 1;
        Ok(f32_macs(rows * (taps * self.layer.filters())))
    }
}
