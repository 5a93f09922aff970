//! How the operands of a product lie in memory: what one instruction takes lies side by side, what
//! one tile takes follows, so that a kernel reads both operands from their start to their end.

use crate::{PANEL, aligned::AlignedBuffer, aligned::Number};

/// The layout that the kernels of an instruction set read: of panels of weights, and of the rows
/// that go past them.
///
/// A panel holds [`PANEL`] outputs, `[PANEL / columns][depth / group][columns][group]`, where
/// `depth` is the number of inputs, filled up with zeros to a multiple of `step`.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Columns of a tile. Divides [`PANEL`].
    pub(crate) columns: usize,
    /// Inputs that an instruction multiplies and sums per column. Divides `step`.
    pub(crate) group: usize,
    /// Inputs that a pass of the kernel's loop takes.
    pub(crate) step: usize,
    /// What laying bytes out takes from them: 128 where instructions multiply i8 by i8.
    pub(crate) shift: i32,
    pub(crate) rows: RowLayout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowLayout {
    /// `[rows][depth]`.
    Straight,
    /// `[rows / tile][depth / group][tile][group]`. The last tile has what is left of the rows,
    /// filled up to a multiple of `few`.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "what NEON kernels read"))]
    Tiles { tile: usize, few: usize },
    /// `[rows][depth]`, each byte followed by a zero: 16 bits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "what AVX2 reads"))]
    Widened,
}

/// Rows as they come: each starts `stride` after the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Straight<'a, T> {
    pub(crate) values: &'a [T],
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
        // Strips of `columns` outputs follow each other, across panels too.
        let (strip, column) = (output / self.columns, output % self.columns);
        let (group, place) = (input / self.group, input % self.group);
        strip * self.columns * self.depth(inputs)
            + (group * self.columns + column) * self.group
            + place
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

    /// Numbers in rows when they are laid out.
    pub(crate) fn size_of_rows(&self, rows: usize, depth: usize) -> usize {
        match self.rows {
            RowLayout::Straight => rows * depth,
            RowLayout::Tiles { few, .. } => rows.next_multiple_of(few) * depth,
            RowLayout::Widened => 2 * rows * depth,
        }
    }

    /// Lays out rows of `inputs` numbers, each put through `of`, and fills them up with zeros.
    pub(crate) fn lay<'a, T: Number>(
        &self,
        straight: Straight<'a, T>,
        inputs: usize,
        room: &'a mut AlignedBuffer<T>,
        of: impl Fn(T) -> T,
    ) -> &'a [T] {
        let depth = self.depth(inputs);
        let Straight { values, stride, rows } = straight;
        if self.rows == RowLayout::Straight && stride == depth {
            return values;
        }
        room.grow(self.size_of_rows(rows, depth));
        for index in 0..rows {
            let row = &values[index * stride..][..inputs];
            match self.rows {
                RowLayout::Straight => {
                    scatter::<T, 1>(row, &mut room[index * depth..][..depth], 1, &of)
                }
                RowLayout::Widened => {
                    let to = &mut room[2 * index * depth..][..2 * depth];
                    let (to, rest) = to.split_at_mut(2 * inputs);
                    for (to, &from) in to.as_chunks_mut().0.iter_mut().zip(row) {
                        *to = [of(from), T::default()];
                    }
                    rest.fill(T::default());
                }
                RowLayout::Tiles { tile, few } => {
                    let first = index / tile * tile;
                    let tile = tile.min((rows - first).next_multiple_of(few));
                    let to = &mut room[first * depth..][..tile * depth];
                    let to = &mut to[(index - first) * self.group..];
                    // As a constant, because then a group is one register.
                    match self.group {
                        4 => scatter::<T, 4>(row, to, tile, &of),
                        _ => scatter::<T, 8>(row, to, tile, &of),
                    }
                }
            }
        }
        room
    }

    /// Fails to compile if the parts do not fit together.
    pub(crate) const fn check(self) -> Self {
        assert!(PANEL.is_multiple_of(self.columns) && self.step.is_multiple_of(self.group));
        if let RowLayout::Tiles { tile, few } = self.rows {
            assert!(tile.is_multiple_of(few) && matches!(self.group, 4 | 8));
        }
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

/// Every group of the row to the start of a tile's.
fn scatter<T: Number, const GROUP: usize>(
    row: &[T],
    to: &mut [T],
    tile: usize,
    of: &impl Fn(T) -> T,
) {
    let (groups, rest) = row.as_chunks::<GROUP>();
    let mut to = to.chunks_mut(tile * GROUP);
    for (group, to) in groups.iter().zip(&mut to) {
        to[..GROUP].copy_from_slice(&group.map(of));
    }
    if !rest.is_empty()
        && let Some(to) = to.next()
    {
        let mut group = [T::default(); GROUP];
        group.iter_mut().zip(rest).for_each(|(to, &from)| *to = of(from));
        to[..GROUP].copy_from_slice(&group);
    }
    // Zeros, because bfloat16 may be left of what is no number.
    to.for_each(|to| to[..GROUP].fill(T::default()));
}

/// Bytes for `vpdpbusd` and for loops without intrinsics: four inputs in each of 64 columns.
pub(crate) static QUADS: Layout =
    Layout { columns: PANEL, group: 4, step: 4, shift: 0, rows: RowLayout::Straight }.check();

/// bfloat16 for `vdpbf16ps` and for loops without intrinsics: two inputs in each of 64 columns.
pub(crate) static PAIRS: Layout =
    Layout { columns: PANEL, group: 2, step: 2, shift: 0, rows: RowLayout::Straight }.check();

#[cfg(test)]
mod tests {
    use super::*;

    static TILES: Layout = Layout {
        columns: 8,
        group: 4,
        step: 16,
        shift: 128,
        rows: RowLayout::Tiles { tile: 12, few: 2 },
    }
    .check();

    #[test]
    fn rows_lie_in_tiles() {
        // One whole tile, and one of three rows that is filled up to four.
        let (rows, inputs, stride, depth) = (15, 21, 23, 32);
        let values: Vec<u8> = (0..rows * stride).map(|i| (i % 199) as u8 + 1).collect();
        let mut room = AlignedBuffer::zeroed(16 * depth);
        room.fill(255);
        let straight = Straight { values: &values, stride, rows };
        let laid = TILES.lay(straight, inputs, &mut room, |x| x ^ 0x80);
        assert_eq!(TILES.size_of_rows(rows, depth), 16 * depth);
        for row in 0..rows {
            let (first, tile) = if row < 12 { (0, 12) } else { (12, 4) };
            for input in 0..depth {
                let at = (input / 4 * tile + row - first) * 4 + input % 4;
                let expected = if input < inputs { values[row * stride + input] ^ 0x80 } else { 0 };
                assert_eq!(laid[first * depth + at], expected, "{row} {input}");
            }
        }
    }

    #[test]
    fn weights_lie_in_strips() {
        // Every place once, whichever the layout.
        for layout in [&TILES, &QUADS, &PAIRS] {
            let (inputs, outputs) = (layout.depth(21), 2 * PANEL);
            let mut seen = vec![false; inputs * outputs];
            for at in (0..inputs * outputs).map(|i| layout.position(21, i % inputs, i / inputs)) {
                assert!(!std::mem::replace(&mut seen[at], true), "{at} twice");
            }
        }
        // Two strips, then two groups, then three columns, then one input on.
        assert_eq!(TILES.position(21, 9, 19), 2 * 8 * 32 + 2 * 8 * 4 + 3 * 4 + 1);
    }

    #[test]
    fn packing_puts_every_weight_in_its_place() {
        let strips =
            Layout { columns: 16, group: 8, step: 16, shift: 128, rows: RowLayout::Straight };
        for layout in [&QUADS, &TILES, &PAIRS, &strips.check()] {
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
