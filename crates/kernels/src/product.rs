use std::cell::RefCell;

use crate::{Epilogue, Finish, Isa, PANEL, aligned::Aligned, bf16, float, layout::Straight};

thread_local! {
    /// Rows as the instruction set wants them.
    static LAID: RefCell<Aligned<u16>> = RefCell::default();
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

impl<'a, T> Product<'a, T> {
    /// Each panel with the index of its first output.
    fn panels(self) -> impl Iterator<Item = (usize, usize, &'a [T])> {
        let panels = self.panels.chunks_exact(self.depth * PANEL);
        let firsts = (0..self.outputs).step_by(PANEL);
        firsts
            .zip(panels)
            .map(move |(first, panel)| (first, PANEL.min(self.outputs - first), panel))
    }
}

impl Product<'_, f32> {
    /// Everything but the activation of the epilogue.
    pub(crate) fn multiply(self, isa: Isa, out: &mut [f32]) {
        for (first, columns, panel) in self.panels() {
            let tile = float::Tile {
                a: self.a,
                a_stride: self.a_stride,
                rows: self.rows,
                depth: self.depth,
                panel,
                columns,
                bias: self.epilogue.bias.map(|bias| &bias[first..first + columns]),
                out_stride: self.out_stride,
                add: self.epilogue.finish == Finish::Add,
            };
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
            self.multiply_laid(isa, a, out);
        });
    }

    fn multiply_laid(self, isa: Isa, a: &[u16], out: &mut [f32]) {
        for (first, columns, panel) in self.panels() {
            let tile = bf16::Tile {
                a,
                a_stride: self.depth,
                rows: self.rows,
                pairs: self.depth / 2,
                panel,
                columns,
                bias: self.epilogue.bias.map(|bias| &bias[first..first + columns]),
                out_stride: self.out_stride,
                add: self.epilogue.finish == Finish::Add,
            };
            isa.bf16_panel(tile, &mut out[first..]);
        }
    }
}
