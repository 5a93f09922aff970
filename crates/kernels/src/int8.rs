//! `out = x Wᵀ` with 8-bit integers, quantized as CTranslate2 does it with `compute_type="int8"`
//! (`src/ops/quantize.cc` there): a scale per row of `W`, and a scale per row of `x` found on the
//! fly, both 127 / max |value|.
//!
//! Instructions multiply u8 by i8, so activations are shifted by 128: as
//! `Σ (a - 128) w = Σ a w - 128 Σ w`, sums start at `-128 Σ w`, which is known when weights are
//! packed (and at zero for instructions that multiply i8 by i8). All sums are exact in i32.
//!
//! How weights lie in memory is for the instruction set to say that they are packed for: see
//! [`Layout`].

use std::cell::RefCell;

use crate::{
    Epilogue, Isa, PANEL, PostOp,
    aligned::AlignedBuffer,
    end_of_rows,
    layout::{Layout, Straight},
};

/// Rows that go past all panels together: their outputs stay in the second-level cache, for what is
/// done to them next. In whole tiles of every instruction set.
pub(crate) fn row_block(outputs: usize) -> usize {
    const NUMBERS: usize = 1 << 17;
    (NUMBERS / outputs / 24).clamp(1, 8) * 24
}

/// What activations are shifted by.
const SHIFT: i32 = 128;
/// The most inputs for which no sum, nor the correction that it starts from, leaves i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / ((255 + 128) * 128);

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Panels,
    /// Per output, filled up to whole panels: what one unit of a product with it is worth.
    scales: AlignedBuffer<f32>,
    /// Per output: what its sum starts from.
    corrections: AlignedBuffer<i32>,
}

/// A block of quantized rows and one panel, both as the [`Layout`] of the instruction set has them.
pub(crate) struct Tile<'a> {
    pub(crate) a: &'a [u8],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Inputs, filled up, by four.
    pub(crate) quads: usize,
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
    pub(crate) fn check(&self, layout: &Layout, out: &[f32]) {
        let depth = 4 * self.quads;
        assert!(depth.is_multiple_of(layout.step) && self.a_stride == depth);
        assert!(self.a.len() >= layout.size_of_rows(self.rows, depth));
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
    rows: AlignedBuffer<u8>,
    /// The same as the instruction set wants them.
    laid: AlignedBuffer<u8>,
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
        Self::quantize_for(Isa::best(), weights, outputs, inputs)
    }

    pub(crate) fn quantize_for(isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(inputs > 0 && weights.len() == outputs * inputs, "weights of a linear layer");
        let mut shifted = vec![0u8; inputs];
        let mut quantized = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(outputs);
        for row in weights.chunks_exact(inputs) {
            scales.push(isa.quantize(row, &mut shifted));
            quantized.extend(shifted.iter().map(|&q| (i32::from(q) - SHIFT) as i8));
        }
        Self::pack_for(isa, &quantized, &scales, outputs, inputs)
    }

    /// Packs quantized weights, row-major `[outputs, inputs]`; a weight is worth `value / scale` of
    /// its output.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights and `outputs` scales, or none, or more than
    /// [`MAX_INPUTS`].
    pub fn pack(weights: &[i8], scales: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::pack_for(Isa::best(), weights, scales, outputs, inputs)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        weights: &[i8],
        scales: &[f32],
        outputs: usize,
        inputs: usize,
    ) -> Self {
        assert!(inputs > 0 && inputs <= MAX_INPUTS, "{inputs} inputs");
        assert!(outputs > 0 && scales.len() == outputs, "scales of a linear layer");
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        let panels = Panels::pack(isa, inputs, outputs, |layout, to| {
            layout.pack_by_output(weights, inputs, to);
        });
        let mut corrections = AlignedBuffer::<i32>::zeroed(panels.padded_outputs());
        let mut worth = AlignedBuffer::<f32>::zeroed(panels.padded_outputs());
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            corrections[output] =
                (isa.layout().shift - SHIFT) * row.iter().map(|&w| i32::from(w)).sum::<i32>();
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
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let rows = x.len() / inputs;
        assert_eq!(x.len(), rows * inputs, "inputs of a linear layer");
        assert_eq!(out.len(), rows * outputs, "outputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == outputs), "biases");
        SCRATCH.with_borrow_mut(|scratch| {
            let rows = row_block(outputs);
            let outs = out.chunks_mut(rows * outputs);
            for (x, out) in x.chunks(rows * inputs).zip(outs) {
                self.block(x, epilogue, out, scratch);
            }
        });
    }

    fn block(&self, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32], scratch: &mut Scratch) {
        let inputs = self.inputs();
        // Filled up already, for layouts that ask for no more.
        let stride = self.panels.depth();
        scratch.rows.grow(x.len() / inputs * stride);
        scratch.scales.clear();
        for (x, row) in x.chunks_exact(inputs).zip(scratch.rows.chunks_exact_mut(stride)) {
            let scale = self.panels.isa.quantize(x, &mut row[..inputs]);
            scratch.scales.push(1.0 / scale);
        }
        let rows = Rows { values: &scratch.rows, stride, scales: &scratch.scales, sums: None };
        let columns = Columns { scales: &self.scales, starts: &self.corrections, zero_points: &[] };
        self.panels.multiply(rows, columns, epilogue, out, &mut scratch.laid);
        self.panels.isa.activate(out, epilogue.post_op);
    }
}

/// Weights as the kernels of an instruction set read them.
#[derive(Clone)]
pub(crate) struct Panels {
    pub(crate) isa: Isa,
    weights: AlignedBuffer<i8>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Up to a [`row_block`] of quantized rows.
pub(crate) struct Rows<'a> {
    /// Row `i` starts at `i * stride`.
    pub(crate) values: &'a [u8],
    pub(crate) stride: usize,
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
    /// `fill` packs weights for the layout into zeros.
    pub(crate) fn pack(
        isa: Isa,
        inputs: usize,
        outputs: usize,
        fill: impl FnOnce(&Layout, &mut [i8]),
    ) -> Self {
        let layout = isa.layout();
        let size = layout.depth(inputs) * PANEL;
        let mut weights = AlignedBuffer::<i8>::zeroed(outputs.div_ceil(PANEL) * size);
        fill(layout, &mut weights);
        Self { isa, weights, inputs, outputs }
    }

    fn weight(&self, input: usize, output: usize) -> i8 {
        self.weights[self.isa.layout().position(self.inputs, input, output)]
    }

    /// Inputs, filled up.
    pub(crate) fn depth(&self) -> usize {
        self.isa.layout().depth(self.inputs)
    }

    pub(crate) fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(PANEL)
    }

    /// Everything but the activation of the epilogue. `room` is for rows that are not laid out as the
    /// instruction set wants them.
    pub(crate) fn multiply(
        &self,
        rows: Rows<'_>,
        columns: Columns<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        room: &mut AlignedBuffer<u8>,
    ) {
        let Rows { values, stride, scales: row_scales, sums } = rows;
        let (layout, depth) = (self.isa.layout(), self.depth());
        let straight = Straight { values, stride, rows: row_scales.len() };
        let shift = layout.shift as u8;
        let a = layout.lay(straight, self.inputs, room, |x| x.wrapping_sub(shift));
        for (index, panel) in self.weights.chunks_exact(depth * PANEL).enumerate() {
            let first = index * PANEL;
            let used = PANEL.min(self.outputs - first);
            let tile = Tile {
                a,
                a_stride: depth,
                rows: row_scales.len(),
                quads: depth / 4,
                panel,
                scales: &columns.scales[first..first + PANEL],
                corrections: &columns.starts[first..first + PANEL],
                row_scales,
                outer: sums.map(|sums| (sums, &columns.zero_points[first..first + PANEL])),
                columns: used,
                bias: epilogue.bias.map(|bias| &bias[first..first + used]),
                out_stride: self.outputs,
                add: epilogue.post_op == PostOp::Add,
            };
            self.isa.int8_panel(tile, &mut out[first..]);
        }
    }
}
