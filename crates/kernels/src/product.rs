use std::cell::RefCell;

use crate::{Epilogue, Isa, PANEL, PostOp, aligned::AlignedBuffer, end_of_rows, layout::Straight};

thread_local! {
    /// Rows as the instruction set wants them.
    static LAID: RefCell<AlignedBuffer<u16>> = RefCell::default();
}

/// Rows times packed panels.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, T> {
    /// Row `i` starts at `i * a_stride`.
    pub(crate) a: &'a [T],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Numbers of a row, filled up as the panels are.
    pub(crate) depth: usize,
    /// One after the other, `depth * PANEL` each.
    pub(crate) panels: &'a [T],
    pub(crate) outputs: usize,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) out_stride: usize,
}

/// A block of rows and one panel.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    pub(crate) a: &'a [T],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Numbers of a row, filled up as the panel is.
    pub(crate) depth: usize,
    pub(crate) panel: &'a [T],
    /// Columns of the panel in use.
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out_stride: usize,
    /// Add to the output instead of storing.
    pub(crate) add: bool,
}

impl<T> Tile<'_, T> {
    /// Panics unless panel, bias and output are long enough.
    pub(crate) fn check_columns(&self, out: &[f32]) {
        assert!(self.panel.len() >= self.depth * PANEL && self.columns <= PANEL);
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
    }
}

impl<'a, T: Copy> Product<'a, T> {
    /// One tile for each panel, with the index of its first output.
    fn tiles(self) -> impl Iterator<Item = (usize, Tile<'a, T>)> {
        let panels = self.panels.chunks_exact(self.depth * PANEL);
        (0..self.outputs).step_by(PANEL).zip(panels).map(move |(first, panel)| {
            let columns = PANEL.min(self.outputs - first);
            let tile = Tile {
                a: self.a,
                a_stride: self.a_stride,
                rows: self.rows,
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

impl Product<'_, f32> {
    /// Everything but the activation of the epilogue.
    pub(crate) fn multiply(self, isa: Isa, out: &mut [f32]) {
        for (first, tile) in self.tiles() {
            isa.float_panel(tile, &mut out[first..]);
        }
    }
}

impl Product<'_, u16> {
    /// Everything but the activation of the epilogue.
    pub(crate) fn multiply(self, isa: Isa, out: &mut [f32]) {
        let straight = Straight { values: self.a, stride: self.a_stride, rows: self.rows };
        LAID.with_borrow_mut(|room| {
            let a = isa.bf16_layout().lay(straight, self.depth, room, |x| x);
            for (first, tile) in (Product { a, a_stride: self.depth, ..self }).tiles() {
                isa.bf16_panel(tile, &mut out[first..]);
            }
        });
    }
}
