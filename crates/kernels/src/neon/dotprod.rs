//! int8 kernel for `dotprod` (Armv8.2). SDOT (i8 by i8) multiplies four inputs of each of four
//! columns by four inputs of one row, a lane of another register.

use std::{arch::aarch64::*, arch::asm};

use super::{COLUMNS, Output, dequantized};
use crate::{
    layout::{Layout, RowLayout},
    tile::Int8Tile,
};

/// Rows of a tile. By two registers of columns, 24 registers hold sums.
const ROWS: usize = 12;

/// Layout of int8 operands.
pub(crate) static LAYOUT: Layout = Layout {
    columns: COLUMNS,
    group: 4,
    step: 16,
    shift: 128,
    rows: RowLayout::Tiles { tile: ROWS, multiple: 4 },
}
.check();

/// Assembly: multiplies four rows, the lanes of one register, by eight columns in two others.
macro_rules! four_rows {
    ($a:literal, $b:literal $c:literal, $($lane:literal: $left:literal $right:literal),*) => {
        concat!($(
            "sdot v", $left, ".4s, v", $b, ".16b, v", $a, ".4b[", $lane, "]\n",
            "sdot v", $right, ".4s, v", $c, ".16b, v", $a, ".4b[", $lane, "]\n"
        ),*)
    };
}

/// Assembly: multiplies one group of 4, 8 or 12 rows by eight columns.
macro_rules! group {
    (4, $group:literal, $b:literal $c:literal) => {
        concat!(
            "ldp q", $b, ", q", $c, ", [{b}, #(", $group, " * 32)]\n",
            "ldr q4, [{a}, #(", $group, " * {group})]\n",
            four_rows!(4, $b $c, 0: 8 9, 1: 10 11, 2: 12 13, 3: 14 15)
        )
    };
    (8, $group:literal, $b:literal $c:literal) => {
        concat!(
            "ldp q", $b, ", q", $c, ", [{b}, #(", $group, " * 32)]\n",
            "ldp q4, q5, [{a}, #(", $group, " * {group})]\n",
            four_rows!(4, $b $c, 0: 8 9, 1: 10 11, 2: 12 13, 3: 14 15),
            four_rows!(5, $b $c, 0: 16 17, 1: 18 19, 2: 20 21, 3: 22 23)
        )
    };
    (12, $group:literal, $b:literal $c:literal) => {
        concat!(
            group!(8, $group, $b $c),
            "ldr q6, [{a}, #(", $group, " * {group} + 32)]\n",
            four_rows!(6, $b $c, 0: 24 25, 1: 26 27, 2: 28 29, 3: 30 31)
        )
    };
}

/// Expands to the loop for 4, 8 or 12 rows: four groups per iteration.
macro_rules! inner_loop {
    ($rows:tt, $a:ident, $b:ident, $iterations:ident, $($register:tt $sum:expr),*) => {
        asm!(
            "cbz {iterations}, 3f",
            "2:",
            group!($rows, 0, 0 1),
            group!($rows, 1, 2 3),
            group!($rows, 2, 0 1),
            group!($rows, 3, 2 3),
            "add {a}, {a}, #(4 * {group})",
            "add {b}, {b}, #128",
            "subs {iterations}, {iterations}, #1",
            "b.ne 2b",
            "3:",
            group = const 4 * $rows,
            a = inout(reg) $a => _,
            b = inout(reg) $b => _,
            iterations = inout(reg) $iterations => _,
            $(inout($register) $sum,)*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _,
            options(readonly, nostack),
        )
    };
}

/// Computes the sums of `4 * FOURS` rows by eight columns.
///
/// # Safety
/// The CPU has `dotprod`; `a` and `b` point to `4 * iterations` groups, of `4 * FOURS` rows and of
/// eight columns.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn sums<const FOURS: usize>(
    a: *const u8,
    b: *const i8,
    iterations: usize,
) -> [[int32x4_t; 2]; ROWS] {
    let mut s = [[vdupq_n_s32(0); 2]; ROWS];
    // SAFETY: the loop reads `4 * iterations` groups of `a` and `b`, and writes registers only.
    unsafe {
        match FOURS {
            1 => inner_loop!(4, a, b, iterations,
                "v8" s[0][0], "v9" s[0][1], "v10" s[1][0], "v11" s[1][1],
                "v12" s[2][0], "v13" s[2][1], "v14" s[3][0], "v15" s[3][1]),
            2 => inner_loop!(8, a, b, iterations,
                "v8" s[0][0], "v9" s[0][1], "v10" s[1][0], "v11" s[1][1],
                "v12" s[2][0], "v13" s[2][1], "v14" s[3][0], "v15" s[3][1],
                "v16" s[4][0], "v17" s[4][1], "v18" s[5][0], "v19" s[5][1],
                "v20" s[6][0], "v21" s[6][1], "v22" s[7][0], "v23" s[7][1]),
            _ => inner_loop!(12, a, b, iterations,
                "v8" s[0][0], "v9" s[0][1], "v10" s[1][0], "v11" s[1][1],
                "v12" s[2][0], "v13" s[2][1], "v14" s[3][0], "v15" s[3][1],
                "v16" s[4][0], "v17" s[4][1], "v18" s[5][0], "v19" s[5][1],
                "v20" s[6][0], "v21" s[6][1], "v22" s[7][0], "v23" s[7][1],
                "v24" s[8][0], "v25" s[8][1], "v26" s[9][0], "v27" s[9][1],
                "v28" s[10][0], "v29" s[10][1], "v30" s[11][0], "v31" s[11][1]),
        }
    }
    s
}

/// Multiplies by one int8 panel.
///
/// # Safety
/// The CPU has `dotprod`, and `tile` passed its check for [`LAYOUT`] with `out`.
#[target_feature(enable = "neon,dotprod")]
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
                let b = tile.panel.as_ptr().add(column * depth);
                let sums = match rows.div_ceil(4) {
                    1 => sums::<1>(a, b, iterations),
                    2 => sums::<2>(a, b, iterations),
                    _ => sums::<3>(a, b, iterations),
                };
                for (r, sums) in sums.into_iter().enumerate().take(rows) {
                    let results = dequantized(&tile, row + r, column, sums);
                    output.store(row + r, column, results, out);
                }
            }
        }
    }
}
