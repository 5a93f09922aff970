//! `out = x Wᵀ` with both sides rounded to bfloat16 (f32 with the upper 7 bits of its mantissa),
//! products and sums in f32.
//!
//! How weights lie in memory is for the instruction set to say that they are packed for: see
//! [`Layout`].

use std::cell::RefCell;

use crate::{
    Epilogue, Isa, PANEL,
    aligned::AlignedBuffer,
    end_of_rows,
    layout::Layout,
    product::{self, Product},
    rows::Rows,
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
    isa: Isa,
    panels: AlignedBuffer<u16>,
    inputs: usize,
    outputs: usize,
}

/// Rows and panel are as the [`Layout`] of the instruction set has them.
pub(crate) type Tile<'a> = product::Tile<'a, u16>;

impl Tile<'_> {
    /// Panics unless all slices are long enough for kernels to go without checks.
    pub(crate) fn check(&self, layout: &Layout, out: &[f32]) {
        assert!(self.depth.is_multiple_of(layout.step) && self.a_stride == self.depth);
        assert!(self.a.len() >= layout.size_of_rows(self.rows, self.depth));
        self.check_columns(out);
    }
}

thread_local! {
    /// Rows while they are multiplied.
    static ROWS: RefCell<AlignedBuffer<u16>> = RefCell::default();
}

impl Weights {
    /// Rounds and packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights, or none.
    pub fn pack(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::pack_for(Isa::best(), weights, outputs, inputs)
    }

    pub(crate) fn pack_for(isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let mut panels = AlignedBuffer::default();
        let rows = Rows { values: weights, stride: inputs, count: outputs };
        pack_outputs(isa, rows, inputs, &mut panels);
        Self { isa, panels, inputs, outputs }
    }

    /// Rounds and packs `weights`, row-major `[inputs, outputs]`.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_by_input(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let (isa, mut panels) = (Isa::best(), AlignedBuffer::default());
        let rows = Rows { values: weights, stride: outputs, count: inputs };
        pack_inputs(isa, rows, outputs, &mut panels);
        Self { isa, panels, inputs, outputs }
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
        let layout = self.isa.bf16_layout();
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs) {
            *weight = widened(self.panels[layout.position(self.inputs, input, output)]);
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
        assert_eq!(out.len(), rows * self.outputs, "outputs of a linear layer");
        assert!(x.len() >= end_of_rows(rows, stride, self.inputs), "inputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs), "biases");
        let (isa, depth) = (self.isa, depth(self.isa, self.inputs));
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
                isa.activate(out, epilogue.post_op);
            }
        });
    }
}

/// `inputs`, filled up.
pub(crate) fn depth(isa: Isa, inputs: usize) -> usize {
    isa.bf16_layout().depth(inputs)
}

/// Rounds rows of `inputs` numbers, each filled up with zeros to its [`depth`].
pub(crate) fn round_rows(isa: Isa, rows: Rows<'_>, inputs: usize, rounded: &mut [u16]) {
    for (index, to) in rounded.chunks_exact_mut(depth(isa, inputs)).enumerate().take(rows.count) {
        let (to, rest) = to.split_at_mut(inputs);
        isa.round_to_bf16(rows.row(index, inputs), to);
        rest.fill(0);
    }
}

/// Packs a matrix with a row of `inputs` numbers for each output.
pub(crate) fn pack_outputs(
    isa: Isa,
    rows: Rows<'_>,
    inputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    // Widths as constants make a group one register.
    match isa.bf16_layout() {
        Layout { group: 2, columns: PANEL, .. } => {
            pack_outputs_in::<2, { 2 * PANEL }>(isa, rows, inputs, panels);
        }
        Layout { group: 4, columns: 8, .. } => {
            pack_outputs_in::<4, 32>(isa, rows, inputs, panels);
        }
        layout => unreachable!("{layout:?}"),
    }
}

/// `ACROSS`: numbers in one group of all columns of a strip.
fn pack_outputs_in<const GROUP: usize, const ACROSS: usize>(
    isa: Isa,
    rows: Rows<'_>,
    inputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    let (depth, columns) = (depth(isa, inputs), ACROSS / GROUP);
    let size_of_all = rows.count.next_multiple_of(PANEL) * depth;
    panels.grow(size_of_all);
    if columns == PANEL && pack_turned(isa, rows, inputs, &mut panels[..size_of_all]) {
        return;
    }
    let mut rounded = vec![0; depth];
    for (index, strip) in panels[..size_of_all].chunks_exact_mut(columns * depth).enumerate() {
        let count = columns.min(rows.count.saturating_sub(index * columns));
        if count < columns {
            strip.fill(0);
        }
        for column in 0..count {
            isa.round_to_bf16(rows.row(index * columns + column, inputs), &mut rounded[..inputs]);
            let groups = rounded.as_chunks::<GROUP>().0;
            for (group, to) in groups.iter().zip(strip.as_chunks_mut::<ACROSS>().0) {
                to[GROUP * column..GROUP * (column + 1)].copy_from_slice(group);
            }
        }
    }
}

/// For instruction sets that turn 16 rows at once; `false` if this one does not.
fn pack_turned(isa: Isa, rows: Rows<'_>, inputs: usize, panels: &mut [u16]) -> bool {
    for (index, panel) in panels.chunks_exact_mut(depth(isa, inputs) * PANEL).enumerate() {
        for column in (0..PANEL).step_by(16) {
            let first = (index * PANEL + column).min(rows.count);
            let count = 16.min(rows.count - first);
            let values = if count == 0 { &[] } else { &rows.values[first * rows.stride..] };
            let strip = Rows { values, count, ..rows };
            if !isa.turn_to_bf16(strip, inputs, &mut panel[2 * column..]) {
                return false;
            }
        }
    }
    true
}

/// Packs a matrix with a row of `outputs` numbers for each input.
pub(crate) fn pack_inputs(
    isa: Isa,
    rows: Rows<'_>,
    outputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    match isa.bf16_layout() {
        Layout { group: 2, columns: PANEL, .. } => {
            pack_inputs_in::<2, { 2 * PANEL }>(isa, rows, outputs, panels);
        }
        Layout { group: 4, columns: 8, .. } => {
            pack_inputs_in::<4, 32>(isa, rows, outputs, panels);
        }
        layout => unreachable!("{layout:?}"),
    }
}

fn pack_inputs_in<const GROUP: usize, const ACROSS: usize>(
    isa: Isa,
    rows: Rows<'_>,
    outputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    let (depth, columns) = (depth(isa, rows.count), ACROSS / GROUP);
    let size = depth * PANEL;
    let size_of_all = outputs.div_ceil(PANEL) * size;
    panels.grow(size_of_all);
    let (mut rounded, zeros) = ([[0; PANEL]; GROUP], [0.0; PANEL]);
    for (index, panel) in panels[..size_of_all].chunks_exact_mut(size).enumerate() {
        let first = index * PANEL;
        let used = PANEL.min(outputs - first);
        for group in 0..depth / GROUP {
            if columns == PANEL {
                let row = |input: usize| &rows.row(input, outputs)[first..first + used];
                let a = row(GROUP * group);
                let b = if GROUP * group + 1 < rows.count {
                    row(GROUP * group + 1)
                } else {
                    &zeros[..used]
                };
                let to = &mut panel[group * ACROSS..][..ACROSS];
                if isa.pair_in_bf16(a, b, 8 * rows.stride, to) {
                    to[2 * used..].fill(0);
                    continue;
                }
            }
            for (place, rounded) in rounded.iter_mut().enumerate() {
                match GROUP * group + place {
                    input if input < rows.count => {
                        let row = &rows.row(input, outputs)[first..first + used];
                        isa.round_to_bf16(row, &mut rounded[..used]);
                    }
                    _ => rounded.fill(0),
                }
            }
            for (strip, to) in panel.chunks_exact_mut(columns * depth).enumerate() {
                let Some(to) = to[group * ACROSS..].first_chunk_mut::<ACROSS>() else { continue };
                for (column, to) in to.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
                    *to = rounded.each_ref().map(|row| row[strip * columns + column]);
                }
            }
        }
    }
}

/// What a bfloat16 is worth.
#[inline(always)]
pub(crate) fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}
