//! SDOT (i8 by i8, Armv8.2 `dotprod`): four inputs of each of four columns with four inputs of one
//! row, the lane of another register.

use std::{arch::aarch64::*, arch::asm};

use super::{COLUMNS, Finishing, scaled};
use crate::{
    int8,
    layout::{Layout, RowLayout},
};

/// Rows of a tile: with two registers of columns they make 24 of sums.
const ROWS: usize = 12;

pub(crate) static LAYOUT: Layout = Layout {
    columns: COLUMNS,
    group: 4,
    step: 16,
    shift: 128,
    rows: RowLayout::Tiles { tile: ROWS, few: 4 },
}
.check();

/// Assembly: four rows, in the lanes of a register, by the eight columns in two others.
macro_rules! four_rows {
    ($a:literal, $b:literal $c:literal, $($lane:literal: $left:literal $right:literal),*) => {
        concat!($(
            "sdot v", $left, ".4s, v", $b, ".16b, v", $a, ".4b[", $lane, "]\n",
            "sdot v", $right, ".4s, v", $c, ".16b, v", $a, ".4b[", $lane, "]\n"
        ),*)
    };
}

/// Assembly: one group of 4, 8 or 12 rows by eight columns.
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

/// The loop for 4, 8 or 12 rows: four groups a pass.
macro_rules! inner_loop {
    ($rows:tt, $a:ident, $b:ident, $passes:ident, $($register:tt $sum:expr),*) => {
        asm!(
            "cbz {passes}, 3f",
            "2:",
            group!($rows, 0, 0 1),
            group!($rows, 1, 2 3),
            group!($rows, 2, 0 1),
            group!($rows, 3, 2 3),
            "add {a}, {a}, #(4 * {group})",
            "add {b}, {b}, #128",
            "subs {passes}, {passes}, #1",
            "b.ne 2b",
            "3:",
            group = const 4 * $rows,
            a = inout(reg) $a => _,
            b = inout(reg) $b => _,
            passes = inout(reg) $passes => _,
            $(inout($register) $sum,)*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _,
            options(readonly, nostack),
        )
    };
}

/// The sums of `4 * FOURS` rows with eight columns.
///
/// # Safety
/// The machine has `dotprod`; `a` and `b` point to `passes` times four groups of `4 * FOURS` rows
/// and of eight columns.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn sums<const FOURS: usize>(
    a: *const u8,
    b: *const i8,
    passes: usize,
) -> [[int32x4_t; 2]; ROWS] {
    let mut s = [[vdupq_n_s32(0); 2]; ROWS];
    // SAFETY: the loop reads as much of `a` and `b` as there is, and writes registers only.
    unsafe {
        match FOURS {
            1 => inner_loop!(4, a, b, passes,
                "v8" s[0][0], "v9" s[0][1], "v10" s[1][0], "v11" s[1][1],
                "v12" s[2][0], "v13" s[2][1], "v14" s[3][0], "v15" s[3][1]),
            2 => inner_loop!(8, a, b, passes,
                "v8" s[0][0], "v9" s[0][1], "v10" s[1][0], "v11" s[1][1],
                "v12" s[2][0], "v13" s[2][1], "v14" s[3][0], "v15" s[3][1],
                "v16" s[4][0], "v17" s[4][1], "v18" s[5][0], "v19" s[5][1],
                "v20" s[6][0], "v21" s[6][1], "v22" s[7][0], "v23" s[7][1]),
            _ => inner_loop!(12, a, b, passes,
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

/// One panel of quantized weights.
///
/// # Safety
/// The machine has `dotprod`; `tile` passed [`int8::Tile::check`] for [`LAYOUT`] with `out`.
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn int8_panel(tile: int8::Tile<'_>, out: &mut [f32]) {
    let (depth, passes) = (4 * tile.quads, tile.quads / 4);
    let finishing = Finishing::of_int8(&tile);
    for row in (0..tile.rows).step_by(ROWS) {
        let rows = ROWS.min(tile.rows - row);
        for column in (0..tile.columns).step_by(COLUMNS) {
            // SAFETY: the check saw that rows are there up to a multiple of four, `depth` bytes each,
            // and eight columns from every eighth on; `scaled` is asked for rows and columns of the
            // tile.
            unsafe {
                let a = tile.a.as_ptr().add(row * depth);
                let b = tile.panel.as_ptr().add(column * depth);
                let sums = match rows.div_ceil(4) {
                    1 => sums::<1>(a, b, passes),
                    2 => sums::<2>(a, b, passes),
                    _ => sums::<3>(a, b, passes),
                };
                for (r, sums) in sums.into_iter().enumerate().take(rows) {
                    let products = scaled(&tile, row + r, column, sums);
                    finishing.row(row + r, column, products, out);
                }
            }
        }
    }
}
