//! `out = x Wᵀ` in f32.
//!
//! A panel holds [`PANEL`] outputs, `[inputs][PANEL]`; the last one is padded with zeros.

use std::cell::RefCell;

use crate::{
    aligned::AlignedBuffer,
    gemm::{Element, Gemm},
    isa::Isa,
    layout::PANEL,
    linear::PackedWeights,
    rows::Rows,
};

/// Packed weights of a linear layer in f32.
pub type Weights = PackedWeights<f32>;

thread_local! {
    /// Inputs of a convolution.
    static PLANE: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

impl Element for f32 {
    const READS_ANY_STRIDE: bool = true;

    fn depth(_: Isa, inputs: usize) -> usize {
        inputs
    }

    fn with_buffer<R>(_: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
        run(&mut [])
    }

    fn with_plane<R>(length: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
        PLANE.with_borrow_mut(|buffer| {
            buffer.grow(length);
            run(&mut buffer[..length])
        })
    }

    fn convert<'a>(_: Isa, rows: Rows<'a>, _: usize, _: &'a mut [f32]) -> Rows<'a> {
        rows
    }

    fn round(_: Isa, x: &[f32], to: &mut [f32]) {
        to.copy_from_slice(x);
    }

    fn normalize(isa: Isa, x: &[f32], scale: &[f32], shift: &[f32], to: &mut [f32]) {
        isa.normalize(x, scale, shift, to);
    }

    fn exponentials<'a>(
        isa: Isa,
        scores: &'a mut [f32],
        stride: usize,
        width: usize,
        scale: f32,
        sums: &mut [f32],
        _: &'a mut [f32],
    ) -> Rows<'a> {
        for (row, sum) in scores.chunks_exact_mut(stride).zip(&mut *sums) {
            *sum = isa.exponentials(&mut row[..width], scale);
        }
        Rows { values: scores, stride, count: sums.len() }
    }

    fn pack_by_output(_: Isa, rows: Rows<'_>, inputs: usize, panels: &mut AlignedBuffer<f32>) {
        let panel_len = inputs * PANEL;
        let len = rows.count.div_ceil(PANEL) * panel_len;
        panels.grow(len);
        for (index, panel) in panels[..len].chunks_exact_mut(panel_len).enumerate() {
            let count = PANEL.min(rows.count - index * PANEL);
            if count < PANEL {
                panel.fill(0.0);
            }
            for column in 0..count {
                let row = rows.row(index * PANEL + column, inputs);
                for (to, &weight) in panel.as_chunks_mut::<PANEL>().0.iter_mut().zip(row) {
                    to[column] = weight;
                }
            }
        }
    }

    fn pack_by_input(_: Isa, rows: Rows<'_>, outputs: usize, panels: &mut AlignedBuffer<f32>) {
        let panel_len = rows.count * PANEL;
        let len = outputs.div_ceil(PANEL) * panel_len;
        panels.grow(len);
        for (index, panel) in panels[..len].chunks_exact_mut(panel_len).enumerate() {
            let first = index * PANEL;
            let columns = PANEL.min(outputs - first);
            for (input, to) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                to[..columns].copy_from_slice(&rows.row(input, outputs)[first..first + columns]);
                to[columns..].fill(0.0);
            }
        }
    }

    fn weight(_: Isa, panels: &[f32], inputs: usize, input: usize, output: usize) -> f32 {
        panels[output / PANEL * PANEL * inputs + input * PANEL + output % PANEL]
    }

    fn multiply(gemm: Gemm<'_, f32>, isa: Isa, out: &mut [f32]) {
        for (first, tile) in gemm.tiles() {
            isa.float_panel(tile, &mut out[first..]);
        }
    }
}
