//! Packed int8 weights and the GEMM of quantized rows by them, for both quantization schemes
//! ([`crate::int8`], [`crate::dynamic`]).

use crate::{
    aligned::AlignedBuffer,
    epilogue::{Epilogue, PostOp},
    isa::Isa,
    layout::{Layout, PANEL},
    rows::Rows,
    tile::Int8Tile,
};

/// Returns how many rows are multiplied by all panels together, so that their outputs stay in the
/// second-level cache for the operations that follow. A multiple of the tile of every instruction
/// set.
pub(crate) fn row_block(outputs: usize) -> usize {
    const NUMBERS: usize = 1 << 17;
    (NUMBERS / outputs / 24).clamp(1, 8) * 24
}

/// Weights in the layout of an instruction set.
#[derive(Clone)]
pub(crate) struct Int8Panels {
    pub(crate) isa: Isa,
    weights: AlignedBuffer<i8>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Quantized rows, up to a [`row_block`].
pub(crate) struct QuantizedRows<'a> {
    pub(crate) values: &'a [u8],
    pub(crate) stride: usize,
    /// Scale of each row.
    pub(crate) scales: &'a [f32],
    /// Sum of each row, if the weights have zero points.
    pub(crate) sums: Option<&'a [i32]>,
}

/// Parameters of each output, padded to whole panels.
pub(crate) struct Columns<'a> {
    pub(crate) scales: &'a [f32],
    /// Initial values of the sums.
    pub(crate) corrections: &'a [i32],
    /// Factors of the row sums; empty if the rows have none.
    pub(crate) zero_points: &'a [i32],
}

impl Int8Panels {
    /// Allocates zeros, and calls `fill` to pack the weights into them.
    pub(crate) fn pack(
        isa: Isa,
        inputs: usize,
        outputs: usize,
        fill: impl FnOnce(&Layout, &mut [i8]),
    ) -> Self {
        let layout = isa.int8_layout();
        let size = layout.depth(inputs) * PANEL;
        let mut weights = AlignedBuffer::<i8>::zeroed(outputs.div_ceil(PANEL) * size);
        fill(layout, &mut weights);
        Self { isa, weights, inputs, outputs }
    }

    pub(crate) fn weight(&self, input: usize, output: usize) -> i8 {
        self.weights[self.isa.int8_layout().position(self.inputs, input, output)]
    }

    /// Returns the number of inputs, padded.
    pub(crate) fn depth(&self) -> usize {
        self.isa.int8_layout().depth(self.inputs)
    }

    /// Returns the number of outputs, padded to whole panels.
    pub(crate) fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(PANEL)
    }

    /// Multiplies, adds the bias, and stores the results or adds them to the output. Does not apply
    /// the activation function of the epilogue. `buffer` is for rows that are not in the layout of
    /// the instruction set yet.
    pub(crate) fn multiply(
        &self,
        rows: QuantizedRows<'_>,
        columns: Columns<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        buffer: &mut AlignedBuffer<u8>,
    ) {
        let QuantizedRows { values, stride, scales: row_scales, sums } = rows;
        let (layout, depth) = (self.isa.int8_layout(), self.depth());
        let row_major = Rows { values, stride, count: row_scales.len() };
        let shift = layout.shift as u8;
        let a = layout.pack_rows(row_major, self.inputs, buffer, |x| x.wrapping_sub(shift));
        for (index, panel) in self.weights.chunks_exact(depth * PANEL).enumerate() {
            let first = index * PANEL;
            let used = PANEL.min(self.outputs - first);
            let tile = Int8Tile {
                a,
                a_stride: depth,
                rows: row_scales.len(),
                quads: depth / 4,
                panel,
                scales: &columns.scales[first..first + PANEL],
                corrections: &columns.corrections[first..first + PANEL],
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
