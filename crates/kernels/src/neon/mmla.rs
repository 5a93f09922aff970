//! Kernels that multiply matrices in registers: USMMLA (u8 by i8, Armv8.6 `i8mm`) and BFMMLA
//! (bfloat16, Armv8.6 `bf16`). One instruction multiplies two rows by two columns, of eight bytes
//! or four bfloat16 each, and adds to four sums.

use std::{arch::aarch64::*, arch::asm};

use super::{COLUMNS, Output, dequantized};
use crate::{
    layout::{Layout, RowLayout},
    tile::{Int8Tile, Tile},
};

/// Rows of a tile. Six pairs of rows by four pairs of columns are 24 registers of sums.
const ROWS: usize = 12;
/// Pairs of rows of a tile.
const PAIRS: usize = ROWS / 2;

/// Layout of int8 operands. A register holds eight bytes of two columns or rows; an iteration of
/// the loop reads two registers per pair.
pub(crate) static I8MM_LAYOUT: Layout = Layout {
    columns: COLUMNS,
    group: 8,
    step: 16,
    shift: 0,
    rows: RowLayout::Tiles { tile: ROWS, multiple: 4 },
}
.check();

/// Layout of bfloat16 operands: the same registers, four numbers of two columns or rows each.
pub(crate) static BF16_LAYOUT: Layout = Layout { group: 4, step: 8, ..I8MM_LAYOUT }.check();

/// Assembly: loads a group of four rows and multiplies it by the eight columns in v0 to v3.
macro_rules! four_rows {
    ($op:literal $kind:literal, group $group:literal, four $four:literal: $x:literal $y:literal,
     $($sum:literal)*) => {
        concat!(
            "ldr q", $x, ", [{a}, #(", $group, " * {group} + ", $four, " * 32)]\n",
            "ldr q", $y, ", [{a}, #(", $group, " * {group} + ", $four, " * 32 + 16)]\n",
            four_rows!(@ $op $kind $x $y $($sum)*)
        )
    };
    (@ $op:literal $kind:literal $x:literal $y:literal
     $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            $op, " v", $a, ".4s, v", $x, ".", $kind, ", v0.", $kind, "\n",
            $op, " v", $b, ".4s, v", $x, ".", $kind, ", v1.", $kind, "\n",
            $op, " v", $c, ".4s, v", $x, ".", $kind, ", v2.", $kind, "\n",
            $op, " v", $d, ".4s, v", $x, ".", $kind, ", v3.", $kind, "\n",
            $op, " v", $e, ".4s, v", $y, ".", $kind, ", v0.", $kind, "\n",
            $op, " v", $f, ".4s, v", $y, ".", $kind, ", v1.", $kind, "\n",
            $op, " v", $g, ".4s, v", $y, ".", $kind, ", v2.", $kind, "\n",
            $op, " v", $h, ".4s, v", $y, ".", $kind, ", v3.", $kind
        )
    };
}

/// Assembly: multiplies one group of 4, 8 or 12 rows by eight columns.
macro_rules! group {
    (4, $op:literal $kind:literal, $group:literal) => {
        four_rows!($op $kind, group $group, four 0: 4 5, 8 9 10 11 12 13 14 15)
    };
    (8, $op:literal $kind:literal, $group:literal) => {
        concat!(group!(4, $op $kind, $group), "\n",
            four_rows!($op $kind, group $group, four 1: 6 7, 16 17 18 19 20 21 22 23))
    };
    (12, $op:literal $kind:literal, $group:literal) => {
        concat!(group!(8, $op $kind, $group), "\n",
            four_rows!($op $kind, group $group, four 2: 4 5, 24 25 26 27 28 29 30 31))
    };
}

/// Expands to the loop for 4, 8 or 12 rows: two groups per iteration.
macro_rules! inner_loop {
    ($rows:tt, $op:literal $kind:literal, $a:ident, $b:ident, $iterations:ident,
     $($register:tt $sum:expr),*) => {
        asm!(
            "cbz {iterations}, 3f",
            "2:",
            "ldp q0, q1, [{b}]",
            "ldp q2, q3, [{b}, #32]",
            group!($rows, $op $kind, 0),
            "ldp q0, q1, [{b}, #64]",
            "ldp q2, q3, [{b}, #96]",
            group!($rows, $op $kind, 1),
            "add {a}, {a}, #(2 * {group})",
            "add {b}, {b}, #128",
            "subs {iterations}, {iterations}, #1",
            "b.ne 2b",
            "3:",
            group = const 8 * $rows,
            a = inout(reg) $a => _,
            b = inout(reg) $b => _,
            iterations = inout(reg) $iterations => _,
            $(inout($register) $sum,)*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(readonly, nostack),
        )
    };
}

/// Defines a function that computes the sums of `4 * FOURS` rows by eight columns, in pairs of rows
/// by pairs of columns.
macro_rules! sums {
    ($name:ident, $features:literal, $op:literal $kind:literal, $element:ty, $vector:ty, $zero:expr) => {
        /// # Safety
        /// The CPU has the instruction; `a` and `b` point to `2 * iterations` groups, of `4 *
        /// FOURS` rows and of eight columns.
        #[target_feature(enable = $features)]
        #[inline]
        unsafe fn $name<const FOURS: usize>(
            a: *const $element,
            b: *const $element,
            iterations: usize,
        ) -> [[$vector; 4]; PAIRS] {
            let mut s = [[$zero; 4]; PAIRS];
            // SAFETY: the loop reads `2 * iterations` groups of `a` and `b`, and writes registers
            // only.
            unsafe {
                match FOURS {
                    1 => inner_loop!(4, $op $kind, a, b, iterations,
                        "v8" s[0][0], "v9" s[0][1], "v10" s[0][2], "v11" s[0][3],
                        "v12" s[1][0], "v13" s[1][1], "v14" s[1][2], "v15" s[1][3]),
                    2 => inner_loop!(8, $op $kind, a, b, iterations,
                        "v8" s[0][0], "v9" s[0][1], "v10" s[0][2], "v11" s[0][3],
                        "v12" s[1][0], "v13" s[1][1], "v14" s[1][2], "v15" s[1][3],
                        "v16" s[2][0], "v17" s[2][1], "v18" s[2][2], "v19" s[2][3],
                        "v20" s[3][0], "v21" s[3][1], "v22" s[3][2], "v23" s[3][3]),
                    _ => inner_loop!(12, $op $kind, a, b, iterations,
                        "v8" s[0][0], "v9" s[0][1], "v10" s[0][2], "v11" s[0][3],
                        "v12" s[1][0], "v13" s[1][1], "v14" s[1][2], "v15" s[1][3],
                        "v16" s[2][0], "v17" s[2][1], "v18" s[2][2], "v19" s[2][3],
                        "v20" s[3][0], "v21" s[3][1], "v22" s[3][2], "v23" s[3][3],
                        "v24" s[4][0], "v25" s[4][1], "v26" s[4][2], "v27" s[4][3],
                        "v28" s[5][0], "v29" s[5][1], "v30" s[5][2], "v31" s[5][3]),
                }
            }
            s
        }
    };
}

sums!(usmmla, "neon,i8mm", "usmmla" "16b", u8, int32x4_t, vdupq_n_s32(0));
sums!(bfmmla, "neon,bf16", "bfmmla" "8h", u16, float32x4_t, vdupq_n_f32(0.0));

/// Multiplies by one int8 panel.
///
/// # Safety
/// The CPU has `i8mm`, and `tile` passed its check for [`I8MM_LAYOUT`] with `out`.
#[target_feature(enable = "neon,i8mm")]
pub(crate) unsafe fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    let (depth, iterations) = (4 * tile.quads, tile.quads / 4);
    let output = Output::from(&tile);
    for row in (0..tile.rows).step_by(ROWS) {
        let rows = ROWS.min(tile.rows - row);
        for column in (0..tile.columns).step_by(COLUMNS) {
            // SAFETY: by the check, rows are padded to a multiple of four and have `depth` bytes,
            // as do columns, of which there are 64; the arguments of `dequantized` are inside of
            // the tile.
            unsafe {
                let a = tile.a.as_ptr().add(row * depth);
                let b = tile.panel.as_ptr().add(column * depth).cast();
                let sums = match rows.div_ceil(4) {
                    1 => usmmla::<1>(a, b, iterations),
                    2 => usmmla::<2>(a, b, iterations),
                    _ => usmmla::<3>(a, b, iterations),
                };
                for (pair, sums) in sums.into_iter().enumerate() {
                    for (r, sums) in
                        by_rows(sums.map(|sum| vreinterpretq_s64_s32(sum))).into_iter().enumerate()
                    {
                        let r = 2 * pair + r;
                        if r < rows {
                            let sums = sums.map(|sum| vreinterpretq_s32_s64(sum));
                            let results = dequantized(&tile, row + r, column, sums);
                            output.store(row + r, column, results, out);
                        }
                    }
                }
            }
        }
    }
}

/// Multiplies by one bfloat16 panel.
///
/// # Safety
/// The CPU has `bf16`, and `tile` passed its check for [`BF16_LAYOUT`] with `out`.
#[target_feature(enable = "neon,bf16")]
pub(crate) unsafe fn bf16_panel(tile: Tile<'_, u16>, out: &mut [f32]) {
    let (depth, iterations) = (tile.depth, tile.depth / 8);
    let output = Output::from(&tile);
    for row in (0..tile.rows).step_by(ROWS) {
        let rows = ROWS.min(tile.rows - row);
        for column in (0..tile.columns).step_by(COLUMNS) {
            // SAFETY: see `int8_panel`, with `depth` numbers of two bytes.
            let sums = unsafe {
                let a = tile.a.as_ptr().add(row * depth);
                let b = tile.panel.as_ptr().add(column * depth);
                match rows.div_ceil(4) {
                    1 => bfmmla::<1>(a, b, iterations),
                    2 => bfmmla::<2>(a, b, iterations),
                    _ => bfmmla::<3>(a, b, iterations),
                }
            };
            for (pair, sums) in sums.into_iter().enumerate() {
                for (r, sums) in
                    by_rows(sums.map(|sum| vreinterpretq_s64_f32(sum))).into_iter().enumerate()
                {
                    let r = 2 * pair + r;
                    if r < rows {
                        let results = sums.map(|sum| vreinterpretq_f32_s64(sum));
                        output.store(row + r, column, results, out);
                    }
                }
            }
        }
    }
}

/// Splits the sums of two rows by pairs of columns into two rows of eight columns.
#[target_feature(enable = "neon")]
#[inline]
fn by_rows(pairs: [int64x2_t; 4]) -> [[int64x2_t; 2]; 2] {
    let [a, b, c, d] = pairs;
    [[vzip1q_s64(a, b), vzip1q_s64(c, d)], [vzip2q_s64(a, b), vzip2q_s64(c, d)]]
}
