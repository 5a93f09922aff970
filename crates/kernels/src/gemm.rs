//! GEMM of rows by packed panels, generic over f32 and bfloat16.

use bytemuck::Pod;

use crate::{
    aligned::AlignedBuffer,
    epilogue::{Epilogue, PostOp},
    isa::Isa,
    layout::PANEL,
    rows::Rows,
    tile::Tile,
};

/// Number format of both operands: f32, or bfloat16 as its bits in a `u16`. Sums are f32.
pub(crate) trait Element: Pod {
    /// Whether a GEMM reads rows of any stride, not only those that [`convert`](Self::convert)
    /// returns.
    const READS_ANY_STRIDE: bool;

    /// Returns the length of a converted row of `inputs` numbers, padded.
    fn depth(isa: Isa, inputs: usize) -> usize;

    /// Lends a buffer of at least `length` numbers for converted rows, which is kept per thread.
    /// Empty for f32, which is not converted.
    fn with_buffer<R>(length: usize, run: impl FnOnce(&mut [Self]) -> R) -> R;

    /// Lends a buffer of `length` numbers for the inputs of a convolution, which is kept per thread.
    fn with_plane<R>(length: usize, run: impl FnOnce(&mut [Self]) -> R) -> R;

    /// Converts rows of `inputs` numbers and pads each to its [`depth`](Self::depth).
    fn convert<'a>(
        isa: Isa,
        rows: Rows<'a>,
        inputs: usize,
        buffer: &'a mut [Self],
    ) -> Rows<'a, Self>;

    /// Converts numbers one by one.
    fn round(isa: Isa, x: &[f32], to: &mut [Self]);

    /// Converts `max(x * scale + shift, 0)`.
    fn normalize(isa: Isa, x: &[f32], scale: &[f32], shift: &[f32], to: &mut [Self]);

    /// Replaces the first `width` numbers of each row `x` by `exp(scale * (x - max(x)))`, as
    /// [`convert`](Self::convert) would return them, and writes the sum of each row before
    /// rounding. Rows start every `stride` numbers; those of `scores` are undefined afterwards.
    fn exponentials<'a>(
        isa: Isa,
        scores: &'a mut [f32],
        stride: usize,
        width: usize,
        scale: f32,
        sums: &mut [f32],
        buffer: &'a mut [Self],
    ) -> Rows<'a, Self>;

    /// Packs a matrix that has a row of `inputs` numbers for each output.
    fn pack_by_output(isa: Isa, rows: Rows<'_>, inputs: usize, panels: &mut AlignedBuffer<Self>);

    /// Packs a matrix that has a row of `outputs` numbers for each input.
    fn pack_by_input(isa: Isa, rows: Rows<'_>, outputs: usize, panels: &mut AlignedBuffer<Self>);

    /// Returns a packed weight.
    fn weight(isa: Isa, panels: &[Self], inputs: usize, input: usize, output: usize) -> f32;

    /// Computes [`Gemm::run`].
    fn multiply(gemm: Gemm<'_, Self>, isa: Isa, out: &mut [f32]);
}

/// Operands of a matrix multiplication: converted rows and packed panels.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<'a, T> {
    pub(crate) a: Rows<'a, T>,
    /// Numbers per row, padded as the panels are.
    pub(crate) depth: usize,
    /// Contiguous panels of `depth * PANEL` numbers each.
    pub(crate) panels: &'a [T],
    pub(crate) outputs: usize,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) out_stride: usize,
}

impl<'a, T: Element> Gemm<'a, T> {
    /// Multiplies, adds the bias, and stores the results or adds them to the output. Does not apply
    /// the activation function of the epilogue.
    pub(crate) fn run(self, isa: Isa, out: &mut [f32]) {
        T::multiply(self, isa, out);
    }

    /// Returns a tile for each panel, with the index of its first output.
    pub(crate) fn tiles(self) -> impl Iterator<Item = (usize, Tile<'a, T>)> {
        let panels = self.panels.chunks_exact(self.depth * PANEL);
        (0..self.outputs).step_by(PANEL).zip(panels).map(move |(first, panel)| {
            let columns = PANEL.min(self.outputs - first);
            let tile = Tile {
                a: self.a.values,
                a_stride: self.a.stride,
                rows: self.a.count,
                depth: self.depth,
                panel,
                columns,
                bias: self.epilogue.bias.map(|bias| &bias[first..first + columns]),
                out_stride: self.out_stride,
                add: self.epilogue.post_op == PostOp::Add,
            };
            (first, tile)
        })
    }
}
