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
const ROW_BLOCK: usize = 96;
/// What activations are shifted by.
const SHIFT: i32 = 128;
/// The most inputs for which no sum, nor the correction that it starts from, leaves i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / ((255 + 128) * 128);

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Aligned<i8>,
    /// Per output, filled up to whole panels: what one unit of a product with it is worth.
    scales: Aligned<f32>,
    /// Per output: `-128 Σ w`.
    corrections: Aligned<i32>,
    inputs: usize,
    outputs: usize,
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
    pub(crate) corrections: &'a [i32],
    pub(crate) row_scales: &'a [f32],
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
        let padded = outputs.div_ceil(PANEL) * PANEL;
        let size = inputs.div_ceil(4) * 4 * PANEL;
        let mut panels = Aligned::<i8>::zeroed(padded / PANEL * size);
        let mut corrections = Aligned::<i32>::zeroed(padded);
        let mut worth = Aligned::<f32>::zeroed(padded);
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            let panel = &mut panels[output / PANEL * size..];
            for (input, &weight) in row.iter().enumerate() {
                panel[input / 4 * 4 * PANEL + output % PANEL * 4 + input % 4] = weight;
            }
            corrections[output] = -SHIFT * row.iter().map(|&w| i32::from(w)).sum::<i32>();
            worth[output] = 1.0 / scales[output];
        }
        Self { panels, scales: worth, corrections, inputs, outputs }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of one output, as floats.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let panel = &self.panels[output / PANEL * self.panel_size()..];
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs) {
            let q = panel[input / 4 * 4 * PANEL + output % PANEL * 4 + input % 4];
            *weight = f32::from(q) * self.scales[output];
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
        let rows = x.len() / self.inputs;
        assert_eq!(x.len(), rows * self.inputs, "inputs of a linear layer");
        assert_eq!(out.len(), rows * self.outputs, "outputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs), "biases");
        SCRATCH.with_borrow_mut(|scratch| {
            let outs = out.chunks_mut(ROW_BLOCK * self.outputs);
            for (x, out) in x.chunks(ROW_BLOCK * self.inputs).zip(outs) {
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
        let quads = self.inputs.div_ceil(4);
        let rows = x.len() / self.inputs;
        scratch.rows.grow(rows * quads * 4);
        scratch.scales.clear();
        for (x, row) in x.chunks_exact(self.inputs).zip(scratch.rows.chunks_exact_mut(quads * 4)) {
            let scale = isa.quantize(x, &mut row[..self.inputs]);
            scratch.scales.push(1.0 / scale);
        }
        for (index, panel) in self.panels.chunks_exact(self.panel_size()).enumerate() {
            let first = index * PANEL;
            let columns = PANEL.min(self.outputs - first);
            let tile = Tile {
                a: &scratch.rows,
                a_stride: quads * 4,
                rows,
                quads,
                panel,
                scales: &self.scales[first..first + PANEL],
                corrections: &self.corrections[first..first + PANEL],
                row_scales: &scratch.scales,
                columns,
                bias: epilogue.bias.map(|bias| &bias[first..first + columns]),
                out_stride: self.outputs,
                add: epilogue.finish == Finish::Add,
            };
            isa.int8_panel(tile, &mut out[first..]);
        }
        isa.activate(out, epilogue.finish);
    }

    fn panel_size(&self) -> usize {
        self.inputs.div_ceil(4) * 4 * PANEL
    }
}
