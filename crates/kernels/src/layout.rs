//! Layouts of GEMM operands in memory. The numbers that one instruction takes are adjacent, and
//! those of one tile are contiguous, so that a kernel reads both operands sequentially.

use bytemuck::Pod;

use crate::{aligned::AlignedBuffer, rows::Rows};

/// Output columns of one packed panel: four AVX-512 registers of 32-bit numbers.
pub const PANEL: usize = 64;

/// Layout that the kernels of an instruction set read: of panels of weights, and of the rows that
/// are multiplied by them.
///
/// A panel holds [`PANEL`] outputs, `[PANEL / columns][depth / group][columns][group]`, where
/// `depth` is the number of inputs, zero-padded to a multiple of `step`. The outer dimension counts
/// strips.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Columns of a strip. Divides [`PANEL`].
    pub(crate) columns: usize,
    /// Inputs that an instruction multiplies and sums per column. Divides `step`.
    pub(crate) group: usize,
    /// Inputs per iteration of the kernel's loop.
    pub(crate) step: usize,
    /// Subtracted from bytes when rows are packed: 128 where instructions multiply i8 by i8.
    pub(crate) shift: i32,
    pub(crate) rows: RowLayout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowLayout {
    /// `[rows][depth]`.
    RowMajor,
    /// `[rows / tile][depth / group][tile][group]`. The last tile has the remaining rows, padded to
    /// a multiple of `multiple`.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "read by NEON kernels"))]
    Tiles { tile: usize, multiple: usize },
    /// `[rows][depth]` in 16 bits: each byte is followed by a zero.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "read by the AVX2 kernel"))]
    Widened,
}

impl Layout {
    /// Returns `inputs`, padded to whole steps.
    pub(crate) fn depth(&self, inputs: usize) -> usize {
        inputs.next_multiple_of(self.step)
    }

    /// Returns the index of the weight that connects `input` and `output`.
    pub(crate) fn position(&self, inputs: usize, input: usize, output: usize) -> usize {
        // Strips are contiguous across panels, too.
        let (strip, column) = (output / self.columns, output % self.columns);
        let (group, place) = (input / self.group, input % self.group);
        strip * self.columns * self.depth(inputs)
            + (group * self.columns + column) * self.group
            + place
    }

    /// Packs weights `[inputs, outputs]`, minus 128, into zeros.
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
                            std::array::from_fn(|offset| row(place + offset)),
                            to,
                            self.group,
                        ),
                        rest => (0..rest).for_each(|offset| {
                            let to = to[offset..].iter_mut().step_by(self.group);
                            to.zip(row(place + offset)).for_each(|(to, &w)| *to = shifted(w));
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

    /// Returns the length of packed rows.
    pub(crate) fn packed_len(&self, rows: usize, depth: usize) -> usize {
        match self.rows {
            RowLayout::RowMajor => rows * depth,
            RowLayout::Tiles { multiple, .. } => rows.next_multiple_of(multiple) * depth,
            RowLayout::Widened => 2 * rows * depth,
        }
    }

    /// Packs rows of `inputs` numbers into `buffer`, each number passed through `convert`, and pads
    /// them with zeros. Returns rows that are in this layout already as they are, not converted.
    pub(crate) fn pack_rows<'a, T: Pod>(
        &self,
        rows: Rows<'a, T>,
        inputs: usize,
        buffer: &'a mut AlignedBuffer<T>,
        convert: impl Fn(T) -> T,
    ) -> &'a [T] {
        let depth = self.depth(inputs);
        if self.rows == RowLayout::RowMajor && rows.stride == depth {
            return rows.values;
        }
        buffer.grow(self.packed_len(rows.count, depth));
        for index in 0..rows.count {
            let row = rows.row(index, inputs);
            match self.rows {
                RowLayout::RowMajor => {
                    scatter::<T, 1>(row, &mut buffer[index * depth..][..depth], 1, &convert)
                }
                RowLayout::Widened => {
                    let to = &mut buffer[2 * index * depth..][..2 * depth];
                    let (to, rest) = to.split_at_mut(2 * inputs);
                    for (to, &from) in to.as_chunks_mut().0.iter_mut().zip(row) {
                        *to = [convert(from), T::zeroed()];
                    }
                    rest.fill(T::zeroed());
                }
                RowLayout::Tiles { tile, multiple } => {
                    let first = index / tile * tile;
                    let tile = tile.min((rows.count - first).next_multiple_of(multiple));
                    let to = &mut buffer[first * depth..][..tile * depth];
                    let to = &mut to[(index - first) * self.group..];
                    // With a constant size, a group is one register.
                    match self.group {
                        4 => scatter::<T, 4>(row, to, tile, &convert),
                        _ => scatter::<T, 8>(row, to, tile, &convert),
                    }
                }
            }
        }
        buffer
    }

    /// Panics if the fields contradict each other; at compile time for layouts in statics.
    pub(crate) const fn check(self) -> Self {
        assert!(PANEL.is_multiple_of(self.columns) && self.step.is_multiple_of(self.group));
        if let RowLayout::Tiles { tile, multiple } = self.rows {
            assert!(tile.is_multiple_of(multiple) && matches!(self.group, 4 | 8));
        }
        self
    }
}

/// Converts a u8 weight to i8 by subtracting 128.
pub(crate) fn shifted(weight: u8) -> i8 {
    (weight ^ 0x80) as i8
}

/// Interleaves four rows, converted to i8: writes their first elements, `step` further their second
/// ones, and so on.
fn interleave([a, b, c, d]: [&[u8]; 4], to: &mut [i8], step: usize) {
    let rows = a.iter().zip(b).zip(c.iter().zip(d));
    // Simple enough for the compiler to vectorize.
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

/// Copies a row, group by group, `tile` groups apart, and pads it with zeros.
fn scatter<T: Pod, const GROUP: usize>(
    row: &[T],
    to: &mut [T],
    tile: usize,
    convert: &impl Fn(T) -> T,
) {
    let (groups, rest) = row.as_chunks::<GROUP>();
    let mut to = to.chunks_mut(tile * GROUP);
    for (group, to) in groups.iter().zip(&mut to) {
        to[..GROUP].copy_from_slice(&group.map(convert));
    }
    if !rest.is_empty()
        && let Some(to) = to.next()
    {
        let mut group = [T::zeroed(); GROUP];
        group.iter_mut().zip(rest).for_each(|(to, &from)| *to = convert(from));
        to[..GROUP].copy_from_slice(&group);
    }
    // The buffer is reused: stale numbers may be NaN as bfloat16, and NaN times zero is NaN.
    to.for_each(|to| to[..GROUP].fill(T::zeroed()));
}

/// Layout of bytes for `vpdpbusd` and for the portable loop: four inputs of each of 64 columns.
pub(crate) static QUADS: Layout =
    Layout { columns: PANEL, group: 4, step: 4, shift: 0, rows: RowLayout::RowMajor }.check();

/// Layout of bfloat16 for `vdpbf16ps` and for the portable loop: two inputs of each of 64 columns.
pub(crate) static PAIRS: Layout =
    Layout { columns: PANEL, group: 2, step: 2, shift: 0, rows: RowLayout::RowMajor }.check();

#[cfg(test)]
mod tests {
    use super::*;

    static TILES: Layout = Layout {
        columns: 8,
        group: 4,
        step: 16,
        shift: 128,
        rows: RowLayout::Tiles { tile: 12, multiple: 2 },
    }
    .check();

    #[test]
    fn rows_are_packed_in_tiles() {
        // One whole tile, and one of three rows that is padded to four.
        let (rows, inputs, stride, depth) = (15, 21, 23, 32);
        let values: Vec<u8> = (0..rows * stride).map(|i| (i % 199) as u8 + 1).collect();
        let mut buffer = AlignedBuffer::zeroed(16 * depth);
        buffer.fill(255);
        let row_major = Rows { values: &values, stride, count: rows };
        let packed = TILES.pack_rows(row_major, inputs, &mut buffer, |x| x ^ 0x80);
        assert_eq!(TILES.packed_len(rows, depth), 16 * depth);
        for row in 0..rows {
            let (first, tile) = if row < 12 { (0, 12) } else { (12, 4) };
            for input in 0..depth {
                let at = (input / 4 * tile + row - first) * 4 + input % 4;
                let expected = if input < inputs { values[row * stride + input] ^ 0x80 } else { 0 };
                assert_eq!(packed[first * depth + at], expected, "{row} {input}");
            }
        }
    }

    #[test]
    fn weights_are_packed_in_strips() {
        // In every layout, each position occurs once.
        for layout in [&TILES, &QUADS, &PAIRS] {
            let (inputs, outputs) = (layout.depth(21), 2 * PANEL);
            let mut seen = vec![false; inputs * outputs];
            for at in (0..inputs * outputs).map(|i| layout.position(21, i % inputs, i / inputs)) {
                assert!(!std::mem::replace(&mut seen[at], true), "{at} twice");
            }
        }
        // After two strips, two groups, three columns and one input.
        assert_eq!(TILES.position(21, 9, 19), 2 * 8 * 32 + 2 * 8 * 4 + 3 * 4 + 1);
    }

    #[test]
    fn packing_moves_every_weight_to_its_position() {
        let strips =
            Layout { columns: 16, group: 8, step: 16, shift: 128, rows: RowLayout::RowMajor };
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
