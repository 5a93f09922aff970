//! Operands of one kernel call: a block of rows and one panel.
//!
//! Kernels read and write through pointers. `check` makes sure that the slices are long enough for
//! this, and every call of a kernel checks its tile first.

use crate::{
    layout::{Layout, PANEL},
    rows::end_of_rows,
};

/// A block of rows and one panel, both f32 or both bfloat16 (as its bits). f32 rows start every
/// `a_stride` numbers, and the panel is `[depth][PANEL]`; bfloat16 rows and panel are in the
/// [`Layout`] of the instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    pub(crate) a: &'a [T],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Numbers per row, padded as the panel is.
    pub(crate) depth: usize,
    pub(crate) panel: &'a [T],
    /// Columns of the panel in use.
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out_stride: usize,
    /// Adds to the output instead of overwriting it.
    pub(crate) add: bool,
}

/// A block of quantized rows and one panel, both in the [`Layout`] of the instruction set.
pub(crate) struct Int8Tile<'a> {
    pub(crate) a: &'a [u8],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Inputs per row, padded, divided by four.
    pub(crate) quads: usize,
    pub(crate) panel: &'a [i8],
    /// Scale of each column.
    pub(crate) scales: &'a [f32],
    /// Initial value of the sum of each column.
    pub(crate) corrections: &'a [i32],
    /// Scale of each row.
    pub(crate) row_scales: &'a [f32],
    /// One number per row and one per column; their product is added to each sum.
    pub(crate) outer: Option<(&'a [i32], &'a [i32])>,
    /// Columns of the panel in use.
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out_stride: usize,
    /// Adds to the output instead of overwriting it.
    pub(crate) add: bool,
}

impl Tile<'_, f32> {
    /// Panics unless all slices are long enough for kernels without bounds checks.
    pub(crate) fn check(&self, out: &[f32]) {
        assert!(self.a.len() >= end_of_rows(self.rows, self.a_stride, self.depth));
        self.check_columns(out);
    }
}

impl Tile<'_, u16> {
    /// Panics unless all slices are long enough for kernels without bounds checks.
    pub(crate) fn check(&self, layout: &Layout, out: &[f32]) {
        assert!(self.depth.is_multiple_of(layout.step) && self.a_stride == self.depth);
        assert!(self.a.len() >= layout.packed_len(self.rows, self.depth));
        self.check_columns(out);
    }
}

impl<T> Tile<'_, T> {
    fn check_columns(&self, out: &[f32]) {
        assert!(self.panel.len() >= self.depth * PANEL && self.columns <= PANEL);
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
    }
}

impl Int8Tile<'_> {
    /// Panics unless all slices are long enough for kernels without bounds checks.
    pub(crate) fn check(&self, layout: &Layout, out: &[f32]) {
        let depth = 4 * self.quads;
        assert!(depth.is_multiple_of(layout.step) && self.a_stride == depth);
        assert!(self.a.len() >= layout.packed_len(self.rows, depth));
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
