//! `out = x Wᵀ` with both sides rounded to bfloat16 (f32 with the upper 7 bits of its mantissa),
//! products and sums in f32.
//!
//! How weights lie in memory is for the instruction set to say that they are packed for: see
//! [`Layout`].

use std::cell::RefCell;

use crate::{
    Epilogue, Finish, Isa, PANEL,
    aligned::Aligned,
    end_of_rows,
    layout::{Layout, Straight},
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
    panels: Aligned<u16>,
    inputs: usize,
    outputs: usize,
}

/// A block of rows and one panel, both as the [`Layout`] of the instruction set has them.
pub(crate) struct Tile<'a> {
    pub(crate) a: &'a [u16],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Inputs, filled up, by two.
    pub(crate) pairs: usize,
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
    pub(crate) fn check(&self, layout: &Layout, out: &[f32]) {
        let depth = 2 * self.pairs;
        assert!(depth.is_multiple_of(layout.step) && self.a_stride == depth);
        assert!(self.a.len() >= layout.size_of_rows(self.rows, depth));
        assert!(self.panel.len() >= depth * PANEL && self.columns <= PANEL);
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
    }
}

thread_local! {
    /// Rows while they are multiplied: rounded, and then as the instruction set wants them.
    static ROWS: RefCell<[Aligned<u16>; 2]> = RefCell::default();
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
        let layout = isa.bf16_layout();
        let size = layout.depth(inputs) * PANEL;
        let mut panels = Aligned::zeroed(outputs.div_ceil(PANEL) * size);
        let mut rounded = vec![0; inputs];
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            isa.round_to_bf16(row, &mut rounded);
            let strip = &mut panels[layout.position(inputs, 0, output)..];
            let groups = strip.chunks_mut(layout.columns * layout.group);
            for (group, to) in rounded.chunks(layout.group).zip(groups) {
                to[..group.len()].copy_from_slice(group);
            }
        }
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
        // Filled up already, for layouts that ask for no more.
        let depth = self.isa.bf16_layout().depth(self.inputs);
        ROWS.with_borrow_mut(|[rounded, room]| {
            rounded.grow(ROW_BLOCK * depth);
            for (block, out) in out.chunks_mut(ROW_BLOCK * self.outputs).enumerate() {
                let rows = out.len() / self.outputs;
                for (index, to) in rounded.chunks_exact_mut(depth).enumerate().take(rows) {
                    let x = &x[(block * ROW_BLOCK + index) * stride..][..self.inputs];
                    self.isa.round_to_bf16(x, &mut to[..self.inputs]);
                    to[self.inputs..].fill(0);
                }
                let straight = Straight { values: rounded, stride: depth, rows };
                let a = self.isa.bf16_layout().lay(straight, self.inputs, room, |x| x);
                self.block(a, rows, epilogue, out);
            }
        });
    }

    fn block(&self, a: &[u16], rows: usize, epilogue: Epilogue<'_>, out: &mut [f32]) {
        let (isa, depth) = (self.isa, self.isa.bf16_layout().depth(self.inputs));
        for (index, panel) in self.panels.chunks_exact(PANEL * depth).enumerate() {
            let first = index * PANEL;
            let columns = PANEL.min(self.outputs - first);
            let tile = Tile {
                a,
                a_stride: depth,
                rows,
                pairs: depth / 2,
                panel,
                columns,
                bias: epilogue.bias.map(|bias| &bias[first..first + columns]),
                out_stride: self.outputs,
                add: epilogue.finish == Finish::Add,
            };
            isa.bf16_panel(tile, &mut out[first..]);
        }
        isa.activate(out, epilogue.finish);
    }
}

/// What a bfloat16 is worth.
#[inline(always)]
pub(crate) fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}
