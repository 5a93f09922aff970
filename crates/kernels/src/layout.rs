//! How 8-bit operands lie in memory: what one instruction takes lies side by side, what one tile
//! takes follows, so that a kernel reads both of its operands from their start to their end.

use crate::{PANEL, aligned::Aligned};

/// The layout of an instruction set, for panels of weights and for the rows that go past them.
///
/// A panel holds [`PANEL`] outputs, `[PANEL / columns][depth / group][columns][group]`, where
/// `depth` is the number of inputs, filled up with zeros to a multiple of `step`.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Columns that a tile has. Divides [`PANEL`].
    pub(crate) columns: usize,
    /// Inputs that an instruction multiplies and sums per column. Divides `step`.
    pub(crate) group: usize,
    /// Inputs that a pass of the kernel's loop takes.
    pub(crate) step: usize,
    /// What laying rows out takes from them: 128 where instructions multiply i8 by i8.
    pub(crate) shift: i32,
    pub(crate) rows: RowLayout,
}

/// How quantized rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowLayout {
    /// `[rows][depth]`.
    Bytes,
}

/// Rows as quantization leaves them: each starts `stride` after the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) values: &'a [u8],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
}

impl Layout {
    /// Inputs, filled up.
    pub(crate) fn depth(&self, inputs: usize) -> usize {
        inputs.next_multiple_of(self.step)
    }

    /// Where the weight lies that connects `input` and `output`.
    pub(crate) fn position(&self, inputs: usize, input: usize, output: usize) -> usize {
        let depth = self.depth(inputs);
        // Whole strips of `columns` outputs lie one after the other, across panels too.
        let (strip, column) = (output / self.columns, output % self.columns);
        let (group, place) = (input / self.group, input % self.group);
        strip * self.columns * depth + (group * self.columns + column) * self.group + place
    }

    /// Packs weights `[inputs, outputs]`, shifted by 128, into zeros.
    pub(crate) fn pack_by_input(
        &self,
        weights: &[u8],
        inputs: usize,
        outputs: usize,
        to: &mut [i8],
    ) {
        let size = self.columns * self.depth(inputs);
        for (strip, to) in to.chunks_exact_mut(size).take(outputs.div_ceil(self.columns)).enumerate()
        {
            let first = strip * self.columns;
            let used = self.columns.min(outputs - first);
            let groups = to.chunks_exact_mut(self.columns * self.group);
            for (input, to) in (0..inputs).step_by(self.group).zip(groups) {
                let rows = weights[input * outputs..].chunks_exact(outputs).take(self.group);
                let rows = rows.map(|row| &row[first..first + used]);
                match self.group {
                    4 if input + 4 <= inputs => interleave::<4>(rows, to),
                    8 if input + 8 <= inputs => interleave::<8>(rows, to),
                    _ => {
                        for (place, row) in rows.enumerate() {
                            let to = to[place..].iter_mut().step_by(self.group);
                            to.zip(row).for_each(|(to, &weight)| *to = shifted(weight));
                        }
                    }
                }
            }
        }
    }

    /// Packs weights `[outputs, inputs]` into zeros.
    pub(crate) fn pack_by_output(&self, weights: &[i8], inputs: usize, to: &mut [i8]) {
        let size = self.columns * self.depth(inputs);
        for (weights, to) in
            weights.chunks(self.columns * inputs).zip(to.chunks_exact_mut(size))
        {
            for (column, row) in weights.chunks_exact(inputs).enumerate() {
                let to = to[column * self.group..].chunks_mut(self.columns * self.group);
                for (group, to) in row.chunks(self.group).zip(to) {
                    to[..group.len()].copy_from_slice(group);
                }
            }
        }
    }

    /// Bytes that rows take when they are laid out.
    pub(crate) fn size_of_rows(&self, rows: usize, depth: usize) -> usize {
        match self.rows {
            RowLayout::Bytes => rows * depth,
        }
    }

    /// Lays out rows of `inputs` numbers. What they are filled up with is not defined: it meets
    /// zeros.
    pub(crate) fn lay<'a>(
        &self,
        plain: Plain<'a>,
        inputs: usize,
        room: &'a mut Aligned<u8>,
    ) -> &'a [u8] {
        let depth = self.depth(inputs);
        if self.rows == RowLayout::Bytes && plain.stride == depth {
            return plain.values;
        }
        room.grow(self.size_of_rows(plain.rows, depth));
        let rows = plain.values.chunks(plain.stride).take(plain.rows).map(|row| &row[..inputs]);
        match self.rows {
            RowLayout::Bytes => {
                for (row, to) in rows.zip(room.chunks_exact_mut(depth)) {
                    to[..inputs].copy_from_slice(row);
                }
            }
        }
        room
    }

    /// Fails to compile if the layout fits no panel.
    pub(crate) const fn check(self) -> Self {
        assert!(PANEL.is_multiple_of(self.columns) && self.step.is_multiple_of(self.group));
        self
    }
}

/// Unsigned to signed.
pub(crate) fn shifted(weight: u8) -> i8 {
    (weight ^ 0x80) as i8
}

/// The first of each of `N` rows, then the second of each.
fn interleave<'a, const N: usize>(mut rows: impl Iterator<Item = &'a [u8]>, to: &mut [i8]) {
    let rows: [&[u8]; N] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    let used = rows[0].len();
    let rows = rows.map(|row| &row[..used]);
    for (column, to) in to.as_chunks_mut::<N>().0.iter_mut().enumerate().take(used) {
        *to = std::array::from_fn(|place| shifted(rows[place][column]));
    }
}

/// `vpdpbusd`, and loops without intrinsics: four inputs in each of 64 columns.
pub(crate) static QUADS: Layout =
    Layout { columns: PANEL, group: 4, step: 4, shift: 0, rows: RowLayout::Bytes }.check();
