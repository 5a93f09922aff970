//! `out = x Wᵀ` with 8-bit integers, quantized as CTranslate2 does it with `compute_type="int8"`
//! (`src/ops/quantize.cc` there): a scale per row of `W`, and a scale per row of `x` found on the
//! fly, both 127 / max |value|.
//!
//! Instructions multiply u8 by i8, so activations are shifted by 128: as
//! `Σ (a - 128) w = Σ a w - 128 Σ w`, sums start at `-128 Σ w`, which is known when weights are
//! packed. All sums are exact in i32.
//!
//! A panel holds [`PANEL`] outputs, `[inputs / 4][PANEL][4]`: four inputs of one output side by
//! side are what one lane of `vpdpbusd` takes.

use std::cell::RefCell;

use crate::{Epilogue, Finish, Isa, PANEL, aligned::Aligned, end_of_rows};

/// Rows that go past all panels together: their inputs and outputs stay in the second-level cache.
pub(crate) const ROW_BLOCK: usize = 96;
/// What activations are shifted by.
const SHIFT: i32 = 128;
/// The most inputs for which no sum, nor the correction that it starts from, leaves i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / ((255 + 128) * 128);

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Panels,
    /// Per output, filled up to whole panels: what one unit of a product with it is worth.
    scales: Aligned<f32>,
    /// Per output: `-128 Σ w`.
    corrections: Aligned<i32>,
}

/// A block of quantized rows and one panel.
pub(crate) struct Tile<'a> {
    pub(crate) a: &'a [u8],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Groups of four inputs.
    pub(crate) quads: usize,
    /// `[quads][PANEL][4]`.
    pub(crate) panel: &'a [i8],
    pub(crate) scales: &'a [f32],
    /// What the sum of each column starts from.
    pub(crate) corrections: &'a [i32],
    pub(crate) row_scales: &'a [f32],
    /// What is added to the sums besides: the product of a number per row and a number per column.
    pub(crate) outer: Option<(&'a [i32], &'a [i32])>,
    /// Columns of the panel in use.
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out_stride: usize,
    /// Add to the output instead of storing.
    pub(crate) add: bool,
}

impl Tile<'_> {
    /// Panics unless all slices are long enough for kernels to go without checks.
    pub(crate) fn check(&self, out: &[f32]) {
        let depth = 4 * self.quads;
        assert!(self.a.len() >= end_of_rows(self.rows, self.a_stride, depth));
        assert!(self.panel.len() >= depth * PANEL && self.row_scales.len() >= self.rows);
        assert!(self.scales.len() >= PANEL && self.corrections.len() >= PANEL);
        assert!(self.columns <= PANEL);
        let outer =
            |(rows, columns): (&[i32], &[i32])| rows.len() >= self.rows && columns.len() >= PANEL;
        assert!(self.outer.is_none_or(outer));
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
    }
}

/// Rows while they are quantized; kept per thread, because every product needs some.
#[derive(Default)]
struct Scratch {
    rows: Aligned<u8>,
    scales: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Weights {
    /// Quantizes and packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn quantize(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(inputs > 0 && weights.len() == outputs * inputs, "weights of a linear layer");
        let isa = Isa::best();
        let mut shifted = vec![0u8; inputs];
        let mut quantized = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(outputs);
        for row in weights.chunks_exact(inputs) {
            scales.push(isa.quantize(row, &mut shifted));
            quantized.extend(shifted.iter().map(|&q| (i32::from(q) - SHIFT) as i8));
        }
        Self::pack(&quantized, &scales, outputs, inputs)
    }

    /// Packs quantized weights, row-major `[outputs, inputs]`; a weight is worth `value / scale` of
    /// its output.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights and `outputs` scales, or none, or more than
    /// [`MAX_INPUTS`].
    pub fn pack(weights: &[i8], scales: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(inputs > 0 && inputs <= MAX_INPUTS, "{inputs} inputs");
        assert!(outputs > 0 && scales.len() == outputs, "scales of a linear layer");
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        let panels =
            Panels::pack(inputs, outputs, |input, output| weights[output * inputs + input]);
        let mut corrections = Aligned::<i32>::zeroed(panels.padded_outputs());
        let mut worth = Aligned::<f32>::zeroed(panels.padded_outputs());
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            corrections[output] = -SHIFT * row.iter().map(|&w| i32::from(w)).sum::<i32>();
            worth[output] = 1.0 / scales[output];
        }
        Self { panels, scales: worth, corrections }
    }

    pub fn inputs(&self) -> usize {
        self.panels.inputs
    }

    pub fn outputs(&self) -> usize {
        self.panels.outputs
    }

    /// The weights of one output, as floats.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs(), "output {output} of {}", self.outputs());
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs()) {
            *weight = f32::from(self.panels.weight(input, output)) * self.scales[output];
        }
    }

    /// Multiplies rows of [`Self::inputs`] numbers.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn apply(&self, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        self.apply_with(Isa::best(), x, epilogue, out);
    }

    pub(crate) fn apply_with(&self, isa: Isa, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let rows = x.len() / inputs;
        assert_eq!(x.len(), rows * inputs, "inputs of a linear layer");
        assert_eq!(out.len(), rows * outputs, "outputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == outputs), "biases");
        SCRATCH.with_borrow_mut(|scratch| {
            let outs = out.chunks_mut(ROW_BLOCK * outputs);
            for (x, out) in x.chunks(ROW_BLOCK * inputs).zip(outs) {
                self.block(isa, x, epilogue, out, scratch);
            }
        });
    }

    fn block(
        &self,
        isa: Isa,
        x: &[f32],
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let inputs = self.inputs();
        let stride = inputs.next_multiple_of(4);
        scratch.rows.grow(x.len() / inputs * stride);
        scratch.scales.clear();
        for (x, row) in x.chunks_exact(inputs).zip(scratch.rows.chunks_exact_mut(stride)) {
            let scale = isa.quantize(x, &mut row[..inputs]);
            scratch.scales.push(1.0 / scale);
        }
        let rows = Rows { values: &scratch.rows, scales: &scratch.scales, sums: None };
        let columns = Columns { scales: &self.scales, starts: &self.corrections, zero_points: &[] };
        self.panels.multiply(isa, rows, columns, epilogue, out);
    }
}

/// Weights as kernels read them.
#[derive(Clone)]
pub(crate) struct Panels {
    weights: Aligned<i8>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Up to [`ROW_BLOCK`] quantized rows.
pub(crate) struct Rows<'a> {
    /// Each filled up to a multiple of four.
    pub(crate) values: &'a [u8],
    /// One per row.
    pub(crate) scales: &'a [f32],
    /// If weights have zero points: the sum of each row.
    pub(crate) sums: Option<&'a [i32]>,
}

/// What goes with each output, filled up to whole panels.
pub(crate) struct Columns<'a> {
    pub(crate) scales: &'a [f32],
    /// What sums start from.
    pub(crate) starts: &'a [i32],
    /// What the sum of a row is multiplied with, if the rows have sums.
    pub(crate) zero_points: &'a [i32],
}

impl Panels {
    pub(crate) fn pack(inputs: usize, outputs: usize, weight: impl Fn(usize, usize) -> i8) -> Self {
        let size = inputs.next_multiple_of(4) * PANEL;
        let mut weights = Aligned::<i8>::zeroed(outputs.div_ceil(PANEL) * size);
        for input in 0..inputs {
            for output in 0..outputs {
                weights[Self::position(inputs, input, output)] = weight(input, output);
            }
        }
        Self { weights, inputs, outputs }
    }

    fn position(inputs: usize, input: usize, output: usize) -> usize {
        let panel = output / PANEL * inputs.next_multiple_of(4) * PANEL;
        panel + input / 4 * 4 * PANEL + output % PANEL * 4 + input % 4
    }

    fn weight(&self, input: usize, output: usize) -> i8 {
        self.weights[Self::position(self.inputs, input, output)]
    }

    pub(crate) fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(PANEL)
    }

    pub(crate) fn multiply(
        &self,
        isa: Isa,
        rows: Rows<'_>,
        columns: Columns<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        let stride = self.inputs.next_multiple_of(4);
        for (index, panel) in self.weights.chunks_exact(stride * PANEL).enumerate() {
            let first = index * PANEL;
            let used = PANEL.min(self.outputs - first);
            let tile = Tile {
                a: rows.values,
                a_stride: stride,
                rows: rows.scales.len(),
                quads: stride / 4,
                panel,
                scales: &columns.scales[first..first + PANEL],
                corrections: &columns.starts[first..first + PANEL],
                row_scales: rows.scales,
                outer: rows.sums.map(|sums| (sums, &columns.zero_points[first..first + PANEL])),
                columns: used,
                bias: epilogue.bias.map(|bias| &bias[first..first + used]),
                out_stride: self.outputs,
                add: epilogue.finish == Finish::Add,
            };
            isa.int8_panel(tile, &mut out[first..]);
        }
        isa.activate(out, epilogue.finish);
    }
}
