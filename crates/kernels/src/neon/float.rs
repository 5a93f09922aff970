//! f32 kernel for NEON, by FMLA.

use std::{arch::aarch64::*, arch::asm};

use super::{COLUMNS, Output};
use crate::{layout::PANEL, tile::Tile};

/// Rows of a tile. By two registers of columns, 16 registers hold sums. As rows are row-major,
/// eight more hold four inputs of each row; the last eight hold four inputs of the columns.
const ROWS: usize = 8;

/// Assembly: multiplies one input of eight rows, a lane of their registers, by eight columns.
macro_rules! input {
    ($lane:literal, $b:literal $c:literal, $offset:literal) => {
        concat!(
            "ldp q", $b, ", q", $c, ", [{b}, #", $offset, "]\n",
            input!(@ $lane, $b $c, 0: 16 17, 1: 18 19, 2: 20 21, 3: 22 23,
                4: 24 25, 5: 26 27, 6: 28 29, 7: 30 31)
        )
    };
    (@ $lane:literal, $b:literal $c:literal, $($a:literal: $left:literal $right:literal),*) => {
        concat!($(
            "fmla v", $left, ".4s, v", $b, ".4s, v", $a, ".s[", $lane, "]\n",
            "fmla v", $right, ".4s, v", $c, ".4s, v", $a, ".s[", $lane, "]\n"
        ),*)
    };
}

/// Assembly: multiplies four inputs, which start `$offset` bytes further in the rows.
macro_rules! four_inputs {
    ($offset:literal) => {
        concat!(
            four_inputs!(@ $offset, 0 1 2 3 4 5 6 7),
            input!(0, 8 9, 0),
            input!(1, 10 11, 256),
            input!(2, 12 13, 512),
            input!(3, 14 15, 768),
            "add {b}, {b}, #1024"
        )
    };
    (@ $offset:literal, $($a:literal)*) => {
        concat!($("ldr q", $a, ", [{a", $a, "}, #", $offset, "]\n"),*)
    };
}

/// Multiplies by one f32 panel.
///
/// # Safety
/// `tile` passed its check with `out`.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn float_panel(tile: Tile<'_, f32>, out: &mut [f32]) {
    let output = Output::from(&tile);
    for row in (0..tile.rows).step_by(ROWS) {
        let rows = ROWS.min(tile.rows - row);
        let width = if rows < 4 { 2 * COLUMNS } else { COLUMNS };
        for column in (0..tile.columns).step_by(width) {
            // SAFETY: by the check, rows have `depth` numbers, and the panel has `depth * PANEL`.
            // Both widths divide `PANEL`, and `row + N <= tile.rows`.
            unsafe {
                match rows {
                    1 => few::<1>(&tile, row, column, output, out),
                    2 => few::<2>(&tile, row, column, output, out),
                    3 => few::<3>(&tile, row, column, output, out),
                    _ => {
                        let sums = eight(&tile, row, rows, column);
                        for (r, sums) in sums.into_iter().enumerate().take(rows) {
                            output.store(row + r, column, sums, out);
                        }
                    }
                }
            }
        }
    }
}

/// Computes the sums of eight rows by eight columns. If there are fewer `rows`, the last one is
/// repeated.
///
/// # Safety
/// `tile` passed its check, `rows > 0`, `row + rows <= tile.rows`, and `column + 8 <= PANEL`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn eight(
    tile: &Tile<'_, f32>,
    row: usize,
    rows: usize,
    column: usize,
) -> [[float32x4_t; 2]; ROWS] {
    let mut s = [[vdupq_n_f32(0.0); 2]; ROWS];
    let a: [_; ROWS] = std::array::from_fn(|r| {
        tile.a.as_ptr().wrapping_add((row + r.min(rows - 1)) * tile.a_stride)
    });
    let mut b = tile.panel.as_ptr().wrapping_add(column);
    let (iterations, whole) = (tile.depth / 8, tile.depth / 8 * 8);
    // SAFETY: the loop reads `whole` numbers of every row and `whole` rows of the panel; the code
    // after it reads the rest.
    unsafe {
        asm!(
            "cbz {iterations}, 3f",
            "2:",
            four_inputs!(0),
            four_inputs!(16),
            "add {a0}, {a0}, #32",
            "add {a1}, {a1}, #32",
            "add {a2}, {a2}, #32",
            "add {a3}, {a3}, #32",
            "add {a4}, {a4}, #32",
            "add {a5}, {a5}, #32",
            "add {a6}, {a6}, #32",
            "add {a7}, {a7}, #32",
            "subs {iterations}, {iterations}, #1",
            "b.ne 2b",
            "3:",
            a0 = inout(reg) a[0] => _, a1 = inout(reg) a[1] => _,
            a2 = inout(reg) a[2] => _, a3 = inout(reg) a[3] => _,
            a4 = inout(reg) a[4] => _, a5 = inout(reg) a[5] => _,
            a6 = inout(reg) a[6] => _, a7 = inout(reg) a[7] => _,
            b = inout(reg) b,
            iterations = inout(reg) iterations => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            inout("v16") s[0][0], inout("v17") s[0][1], inout("v18") s[1][0],
            inout("v19") s[1][1], inout("v20") s[2][0], inout("v21") s[2][1],
            inout("v22") s[3][0], inout("v23") s[3][1], inout("v24") s[4][0],
            inout("v25") s[4][1], inout("v26") s[5][0], inout("v27") s[5][1],
            inout("v28") s[6][0], inout("v29") s[6][1], inout("v30") s[7][0],
            inout("v31") s[7][1],
            options(readonly, nostack),
        );
        for depth in whole..tile.depth {
            let columns = [vld1q_f32(b), vld1q_f32(b.add(4))];
            for (a, s) in a.into_iter().zip(&mut s) {
                let a = *a.add(depth);
                s[0] = vfmaq_n_f32(s[0], columns[0], a);
                s[1] = vfmaq_n_f32(s[1], columns[1], a);
            }
            b = b.add(PANEL);
        }
    }
    s
}

/// Multiplies `N` rows by sixteen columns: one cache line of the panel, and enough independent sums
/// to hide the latency of FMLA.
///
/// # Safety
/// `tile` passed its check, `row + N <= tile.rows`, and `column + 16 <= PANEL`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn few<const N: usize>(
    tile: &Tile<'_, f32>,
    row: usize,
    column: usize,
    output: Output<'_>,
    out: &mut [f32],
) {
    let mut sums = [[vdupq_n_f32(0.0); 4]; N];
    let panel = tile.panel.as_ptr().wrapping_add(column);
    for depth in 0..tile.depth {
        // SAFETY: `depth` is less than the length of a row and the number of rows of the panel.
        unsafe {
            let b = panel.add(depth * PANEL);
            let b = [vld1q_f32(b), vld1q_f32(b.add(4)), vld1q_f32(b.add(8)), vld1q_f32(b.add(12))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = *tile.a.as_ptr().add((row + r) * tile.a_stride + depth);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = vfmaq_n_f32(*sum, b, a);
                }
            }
        }
    }
    for (r, [a, b, c, d]) in sums.into_iter().enumerate() {
        output.store(row + r, column, [a, b], out);
        if column + COLUMNS < tile.columns {
            output.store(row + r, column + COLUMNS, [c, d], out);
        }
    }
}
