//! `out = x Wᵀ` with both sides rounded to bfloat16 (f32 with the upper 7 bits of its mantissa),
//! products and sums in f32.
//!
//! A panel holds [`PANEL`] outputs, `[inputs / 2][PANEL][2]`: two inputs of one output side by side
//! are what one lane of `vdpbf16ps` takes.

use std::cell::RefCell;

use crate::{
    Epilogue, Isa, PANEL, aligned::Aligned, attention::Rows, end_of_rows, product::Product,
};

/// Rows that go past all panels together: their inputs and outputs stay in the second-level cache.
const ROW_BLOCK: usize = 96;

/// Whether this machine multiplies bfloat16 by itself. Where it does not, products are those of f32,
/// and no faster.
pub fn is_native() -> bool {
    Isa::best().multiplies_bf16()
}

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Aligned<u16>,
    inputs: usize,
    outputs: usize,
}

/// A block of rows and one panel.
pub(crate) struct Tile<'a> {
    pub(crate) a: &'a [u16],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Groups of two inputs.
    pub(crate) pairs: usize,
    /// `[pairs][PANEL][2]`.
    pub(crate) panel: &'a [u16],
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
        let depth = 2 * self.pairs;
        assert!(self.a.len() >= end_of_rows(self.rows, self.a_stride, depth));
        assert!(self.panel.len() >= depth * PANEL && self.columns <= PANEL);
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
    }
}

thread_local! {
    /// Rows while they are multiplied.
    static ROWS: RefCell<Aligned<u16>> = RefCell::default();
}

impl Weights {
    /// Rounds and packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights, or none.
    pub fn pack(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let mut panels = Aligned::default();
        let rows = Rows { values: weights, stride: inputs, count: outputs };
        pack_outputs(Isa::best(), rows, inputs, &mut panels);
        Self { panels, inputs, outputs }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of one output.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let panel = &self.panels[output / PANEL * PANEL * depth(self.inputs)..];
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs) {
            let position = input / 2 * 2 * PANEL + 2 * (output % PANEL) + input % 2;
            *weight = widened(panel[position]);
        }
    }

    /// Multiplies `rows` rows of `x`. Row `i` starts at `i * stride`: rows may overlap, which makes
    /// this a convolution over time.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn apply(
        &self,
        x: &[f32],
        stride: usize,
        rows: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        self.apply_with(Isa::best(), x, stride, rows, epilogue, out);
    }

    pub(crate) fn apply_with(
        &self,
        isa: Isa,
        x: &[f32],
        stride: usize,
        rows: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), rows * self.outputs, "outputs of a linear layer");
        assert!(x.len() >= end_of_rows(rows, stride, self.inputs), "inputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs), "biases");
        let depth = depth(self.inputs);
        ROWS.with_borrow_mut(|rounded| {
            rounded.grow(ROW_BLOCK * depth);
            for (block, out) in out.chunks_mut(ROW_BLOCK * self.outputs).enumerate() {
                let values = &x[block * ROW_BLOCK * stride..];
                let rows = Rows { values, stride, count: out.len() / self.outputs };
                round_rows(isa, rows, self.inputs, rounded);
                let product = Product {
                    a: rounded,
                    a_stride: depth,
                    rows: rows.count,
                    depth,
                    panels: &self.panels,
                    outputs: self.outputs,
                    epilogue,
                    out_stride: self.outputs,
                };
                product.multiply(isa, out);
                isa.activate(out, epilogue.finish);
            }
        });
    }
}

/// `inputs`, filled up.
pub(crate) fn depth(inputs: usize) -> usize {
    inputs.next_multiple_of(2)
}

/// Rounds rows of `inputs` numbers, each filled up with zeros to its [`depth`].
pub(crate) fn round_rows(isa: Isa, rows: Rows<'_>, inputs: usize, rounded: &mut [u16]) {
    for (index, to) in rounded.chunks_exact_mut(depth(inputs)).enumerate().take(rows.count) {
        let (to, rest) = to.split_at_mut(inputs);
        isa.round_to_bf16(rows.row(index, inputs), to);
        rest.fill(0);
    }
}

/// Packs a matrix with a row of `inputs` numbers for each output.
pub(crate) fn pack_outputs(isa: Isa, rows: Rows<'_>, inputs: usize, panels: &mut Aligned<u16>) {
    let size = depth(inputs) * PANEL;
    let size_of_all = rows.count.div_ceil(PANEL) * size;
    panels.grow(size_of_all);
    let mut rounded = vec![0; depth(inputs)];
    for (index, panel) in panels[..size_of_all].chunks_exact_mut(size).enumerate() {
        let count = PANEL.min(rows.count - index * PANEL);
        if count < PANEL {
            panel.fill(0);
        }
        for column in 0..count {
            isa.round_to_bf16(rows.row(index * PANEL + column, inputs), &mut rounded[..inputs]);
            let pairs = rounded.as_chunks::<2>().0;
            for (pair, to) in pairs.iter().zip(panel.as_chunks_mut::<{ 2 * PANEL }>().0) {
                to[2 * column..2 * column + 2].copy_from_slice(pair);
            }
        }
    }
}

/// Packs a matrix with a row of `outputs` numbers for each input.
pub(crate) fn pack_inputs(isa: Isa, rows: Rows<'_>, outputs: usize, panels: &mut Aligned<u16>) {
    let size = depth(rows.count) * PANEL;
    let size_of_all = outputs.div_ceil(PANEL) * size;
    panels.grow(size_of_all);
    let mut rounded = [[0; PANEL]; 2];
    for (index, panel) in panels[..size_of_all].chunks_exact_mut(size).enumerate() {
        let first = index * PANEL;
        let columns = PANEL.min(outputs - first);
        let pairs = panel.as_chunks_mut::<{ 2 * PANEL }>().0;
        for (pair, to) in pairs.iter_mut().enumerate() {
            for (place, rounded) in rounded.iter_mut().enumerate() {
                match 2 * pair + place {
                    input if input < rows.count => {
                        let row = &rows.row(input, outputs)[first..first + columns];
                        isa.round_to_bf16(row, &mut rounded[..columns]);
                    }
                    _ => rounded.fill(0),
                }
            }
            for (to, (&even, &odd)) in
                to.as_chunks_mut::<2>().0.iter_mut().zip(rounded[0].iter().zip(&rounded[1]))
            {
                *to = [even, odd];
            }
        }
    }
}

/// What a bfloat16 is worth.
#[inline(always)]
pub(crate) fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}
