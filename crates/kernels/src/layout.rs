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
        for (strip, to) in
            to.chunks_exact_mut(size).take(outputs.div_ceil(self.columns)).enumerate()
        {
            let first = strip * self.columns;
            let used = self.columns.min(outputs - first);
            let groups = to.chunks_exact_mut(self.columns * self.group);
            for (input, to) in (0..inputs).step_by(self.group).zip(groups) {
                let row = |place| &weights[(input + place) * outputs + first..][..used];
                let count = self.group.min(inputs - input);
                for place in (0..count).step_by(4) {
                    let to = &mut to[place..];
                    match count - place {
                        4.. => interleave(
                            std::array::from_fn(|four| row(place + four)),
                            to,
                            self.group,
                        ),
                        rest => (0..rest).for_each(|one| {
                            let to = to[one..].iter_mut().step_by(self.group);
                            to.zip(row(place + one)).for_each(|(to, &w)| *to = shifted(w));
                        }),
                    }
                }
            }
        }
    }

    /// Packs weights `[outputs, inputs]` into zeros.
    pub(crate) fn pack_by_output(&self, weights: &[i8], inputs: usize, to: &mut [i8]) {
        let size = self.columns * self.depth(inputs);
        for (weights, to) in weights.chunks(self.columns * inputs).zip(to.chunks_exact_mut(size)) {
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

/// The first of each of four rows, `step` further the second of each, and so on.
fn interleave([a, b, c, d]: [&[u8]; 4], to: &mut [i8], step: usize) {
    let rows = a.iter().zip(b).zip(c.iter().zip(d));
    // Kept simple enough to become vector instructions.
    let four = |((a, b), (c, d)): ((&u8, &u8), (&u8, &u8))| [*a, *b, *c, *d].map(shifted);
    if step == 4 {
        for (to, rows) in to.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
            *to = four(rows);
        }
    } else {
        for (to, rows) in to.chunks_mut(step).zip(rows) {
            to[..4].copy_from_slice(&four(rows));
        }
    }
}

/// `vpdpbusd`, and loops without intrinsics: four inputs in each of 64 columns.
pub(crate) static QUADS: Layout =
    Layout { columns: PANEL, group: 4, step: 4, shift: 0, rows: RowLayout::Bytes }.check();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_puts_every_weight_in_its_place() {
        let strips =
            Layout { columns: 16, group: 8, step: 16, shift: 128, rows: RowLayout::Bytes }.check();
        let pairs = Layout { columns: 32, group: 2, step: 4, shift: 0, rows: RowLayout::Bytes };
        for layout in [&QUADS, &strips, &pairs.check()] {
            for (inputs, outputs) in
                [(1_usize, 1_usize), (3, 5), (4, 64), (9, 65), (16, 130), (23, 16)]
            {
                let by_input: Vec<u8> =
                    (0..inputs * outputs).map(|index| (index * 37 % 251) as u8).collect();
                let weight = |input, output| shifted(by_input[input * outputs + output]);
                let by_output: Vec<i8> = (0..inputs * outputs)
                    .map(|index| weight(index % inputs, index / inputs))
                    .collect();
                let mut expected =
                    vec![0i8; outputs.next_multiple_of(PANEL) * layout.depth(inputs)];
                let (mut a, mut b) = (expected.clone(), expected.clone());
                for input in 0..inputs {
                    for output in 0..outputs {
                        expected[layout.position(inputs, input, output)] = weight(input, output);
                    }
                }
                layout.pack_by_input(&by_input, inputs, outputs, &mut a);
                layout.pack_by_output(&by_output, inputs, &mut b);
                assert!(a == expected && b == expected, "{layout:?}, {inputs} to {outputs}");
            }
        }
    }
}
