//! `out = x Wᵀ` with both operands rounded to bfloat16 (f32 without the lower 16 bits), multiplied
//! and summed in f32. A bfloat16 is held as its bits in a `u16`.
//!
//! The packed layout of the weights depends on the instruction set they were packed for; see
//! `layout.rs`.

use std::cell::RefCell;

use crate::{
    aligned::AlignedBuffer,
    gemm::{Element, Gemm},
    isa::Isa,
    layout::{Layout, PANEL},
    linear::PackedWeights,
    loops::widened,
    rows::Rows,
};

/// Packed weights of a linear layer, rounded to bfloat16.
pub type Weights = PackedWeights<u16>;

thread_local! {
    /// Rows converted to bfloat16.
    static CONVERTED: RefCell<AlignedBuffer<u16>> = RefCell::default();
    /// Inputs of a convolution, converted to bfloat16.
    static PLANE: RefCell<AlignedBuffer<u16>> = RefCell::default();
    /// Converted rows in the layout of the instruction set.
    static PACKED: RefCell<AlignedBuffer<u16>> = RefCell::default();
}

/// Returns whether the instruction set in use multiplies bfloat16 natively. Where it does not, GEMM
/// is computed in f32 and no faster than with f32 operands.
pub(crate) fn is_native() -> bool {
    Isa::selected().multiplies_bf16()
}

impl Element for u16 {
    const READS_ANY_STRIDE: bool = false;

    fn depth(isa: Isa, inputs: usize) -> usize {
        isa.bf16_layout().depth(inputs)
    }

    fn with_buffer<R>(length: usize, run: impl FnOnce(&mut [u16]) -> R) -> R {
        CONVERTED.with_borrow_mut(|buffer| {
            buffer.grow(length);
            run(buffer)
        })
    }

    fn with_plane<R>(length: usize, run: impl FnOnce(&mut [u16]) -> R) -> R {
        PLANE.with_borrow_mut(|buffer| {
            buffer.grow(length);
            run(&mut buffer[..length])
        })
    }

    fn convert<'a>(
        isa: Isa,
        rows: Rows<'a>,
        inputs: usize,
        buffer: &'a mut [u16],
    ) -> Rows<'a, u16> {
        let depth = Self::depth(isa, inputs);
        for (index, to) in buffer.chunks_exact_mut(depth).enumerate().take(rows.count) {
            let (to, padding) = to.split_at_mut(inputs);
            isa.round_to_bf16(rows.row(index, inputs), to);
            padding.fill(0);
        }
        Rows { values: buffer, stride: depth, count: rows.count }
    }

    fn round(isa: Isa, x: &[f32], to: &mut [u16]) {
        isa.round_to_bf16(x, to);
    }

    fn normalize(isa: Isa, x: &[f32], scale: &[f32], shift: &[f32], to: &mut [u16]) {
        isa.normalize_to_bf16(x, scale, shift, to);
    }

    fn exponentials<'a>(
        isa: Isa,
        scores: &'a mut [f32],
        stride: usize,
        width: usize,
        scale: f32,
        sums: &mut [f32],
        buffer: &'a mut [u16],
    ) -> Rows<'a, u16> {
        let depth = Self::depth(isa, width);
        let rows = scores.chunks_exact_mut(stride).zip(buffer.chunks_exact_mut(depth));
        for ((row, to), sum) in rows.zip(&mut *sums) {
            let (to, padding) = to.split_at_mut(width);
            *sum = isa.exponentials_to_bf16(&mut row[..width], scale, to);
            padding.fill(0);
        }
        Rows { values: buffer, stride: depth, count: sums.len() }
    }

    fn pack_by_output(isa: Isa, rows: Rows<'_>, inputs: usize, panels: &mut AlignedBuffer<u16>) {
        // With constant sizes, a group is one register.
        match isa.bf16_layout() {
            Layout { group: 2, columns: PANEL, .. } => {
                pack_groups_by_output::<2, { 2 * PANEL }>(isa, rows, inputs, panels);
            }
            Layout { group: 4, columns: 8, .. } => {
                pack_groups_by_output::<4, 32>(isa, rows, inputs, panels);
            }
            layout => unreachable!("{layout:?}"),
        }
    }

    fn pack_by_input(isa: Isa, rows: Rows<'_>, outputs: usize, panels: &mut AlignedBuffer<u16>) {
        match isa.bf16_layout() {
            Layout { group: 2, columns: PANEL, .. } => {
                pack_groups_by_input::<2, { 2 * PANEL }>(isa, rows, outputs, panels);
            }
            Layout { group: 4, columns: 8, .. } => {
                pack_groups_by_input::<4, 32>(isa, rows, outputs, panels);
            }
            layout => unreachable!("{layout:?}"),
        }
    }

    fn weight(isa: Isa, panels: &[u16], inputs: usize, input: usize, output: usize) -> f32 {
        widened(panels[isa.bf16_layout().position(inputs, input, output)])
    }

    fn multiply(gemm: Gemm<'_, u16>, isa: Isa, out: &mut [f32]) {
        PACKED.with_borrow_mut(|buffer| {
            let depth = gemm.depth;
            let values = isa.bf16_layout().pack_rows(gemm.a, depth, buffer, |x| x);
            let a = Rows { values, stride: depth, ..gemm.a };
            for (first, tile) in (Gemm { a, ..gemm }).tiles() {
                isa.bf16_panel(tile, &mut out[first..]);
            }
        });
    }
}

/// Packs a matrix that has a row for each output. `ACROSS` is the size of one group in all columns
/// of a strip.
fn pack_groups_by_output<const GROUP: usize, const ACROSS: usize>(
    isa: Isa,
    rows: Rows<'_>,
    inputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    let (depth, columns) = (u16::depth(isa, inputs), ACROSS / GROUP);
    let len = rows.count.next_multiple_of(PANEL) * depth;
    panels.grow(len);
    if columns == PANEL && pack_transposed(isa, rows, inputs, &mut panels[..len]) {
        return;
    }
    let mut rounded = vec![0; depth];
    for (index, strip) in panels[..len].chunks_exact_mut(columns * depth).enumerate() {
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

/// Packs with instructions that transpose 16 rows at once. Returns `false` if the instruction set
/// has none.
fn pack_transposed(isa: Isa, rows: Rows<'_>, inputs: usize, panels: &mut [u16]) -> bool {
    for (index, panel) in panels.chunks_exact_mut(u16::depth(isa, inputs) * PANEL).enumerate() {
        for column in (0..PANEL).step_by(16) {
            let first = (index * PANEL + column).min(rows.count);
            let count = 16.min(rows.count - first);
            let values = if count == 0 { &[] } else { &rows.values[first * rows.stride..] };
            let strip = Rows { values, count, ..rows };
            if !isa.transpose_to_bf16(strip, inputs, &mut panel[2 * column..]) {
                return false;
            }
        }
    }
    true
}

/// Packs a matrix that has a row for each input. `ACROSS` is the size of one group in all columns
/// of a strip.
fn pack_groups_by_input<const GROUP: usize, const ACROSS: usize>(
    isa: Isa,
    rows: Rows<'_>,
    outputs: usize,
    panels: &mut AlignedBuffer<u16>,
) {
    let (depth, columns) = (u16::depth(isa, rows.count), ACROSS / GROUP);
    let panel_len = depth * PANEL;
    let len = outputs.div_ceil(PANEL) * panel_len;
    panels.grow(len);
    let (mut rounded, zeros) = ([[0; PANEL]; GROUP], [0.0; PANEL]);
    for (index, panel) in panels[..len].chunks_exact_mut(panel_len).enumerate() {
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
                if isa.interleave_to_bf16(a, b, 8 * rows.stride, to) {
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
