//! int8 kernel for CPUs with NEON and none of its extensions (Armv8.0: Cortex-A53, A72).

use std::arch::aarch64::*;

use super::{COLUMNS, Output, dequantized};
use crate::{
    layout::{Layout, RowLayout},
    tile::Int8Tile,
};

/// Rows and columns of a tile: 16 registers of sums, as each register belongs to one output.
const TILE: usize = 4;

/// Layout of int8 operands.
pub(crate) static LAYOUT: Layout = Layout {
    columns: TILE,
    group: 8,
    step: 8,
    shift: 128,
    rows: RowLayout::Tiles { tile: TILE, multiple: TILE },
}
.check();

/// Multiplies by one int8 panel.
///
/// # Safety
/// `tile` passed its check for [`LAYOUT`] with `out`.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    let output = Output::from(&tile);
    for row in (0..tile.rows).step_by(TILE) {
        for column in (0..tile.columns).step_by(COLUMNS) {
            // SAFETY: by the check, rows are padded to a multiple of four, and columns to 64; `r`
            // is less than the number of remaining rows.
            unsafe {
                let sums = [sums(&tile, row, column), sums(&tile, row, column + TILE)];
                for r in 0..TILE.min(tile.rows - row) {
                    let sums = [sums[0][r], sums[1][r]];
                    let results = dequantized(&tile, row + r, column, sums);
                    output.store(row + r, column, results, out);
                }
            }
        }
    }
}

/// Computes the sums of four rows by four columns. A product of 8 bits fits 16 bits, the sum of two
/// does not: `sadalp` widens while it adds pairs.
///
/// # Safety
/// The tile has rows up to `row + 4`, padding included, and columns up to `column + 4`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn sums(tile: &Int8Tile<'_>, row: usize, column: usize) -> [int32x4_t; TILE] {
    let depth = 4 * tile.quads;
    let mut sums = [[vdupq_n_s32(0); TILE]; TILE];
    for group in 0..depth / 8 {
        // SAFETY: four rows and four columns have `4 * depth` bytes each, 32 per group.
        unsafe {
            let a = tile.a.as_ptr().add(row * depth + 32 * group).cast::<i64>();
            let b = tile.panel.as_ptr().add(column * depth + 32 * group);
            let b = [vld1q_s8(b), vld1q_s8(b.add(16))];
            for (r, sums) in sums.iter_mut().enumerate() {
                // The same eight inputs in both halves, because each half of `b` is another column.
                let a = vreinterpretq_s8_s64(vld1q_dup_s64(a.add(r)));
                for (pair, b) in b.into_iter().enumerate() {
                    let [low, high] = [2 * pair, 2 * pair + 1];
                    let product = vmull_s8(vget_low_s8(a), vget_low_s8(b));
                    sums[low] = vpadalq_s16(sums[low], product);
                    sums[high] = vpadalq_s16(sums[high], vmull_high_s8(a, b));
                }
            }
        }
    }
    sums.map(|[a, b, c, d]| vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)))
}
