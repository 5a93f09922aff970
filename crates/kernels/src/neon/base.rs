//! 8-bit products for machines with nothing but NEON (Armv8.0: Cortex-A53, A72).

use std::arch::aarch64::*;

use super::{COLUMNS, Finishing, scaled};
use crate::{
    int8,
    layout::{Layout, RowLayout},
};

/// Four rows by four columns: 16 registers of sums, as each is one output's.
const TILE: usize = 4;

pub(crate) static LAYOUT: Layout = Layout {
    columns: TILE,
    group: 8,
    step: 8,
    shift: 128,
    rows: RowLayout::Tiles { tile: TILE, few: TILE },
}
.check();

/// One panel of quantized weights.
///
/// # Safety
/// `tile` passed [`int8::Tile::check`] for [`LAYOUT`] with `out`.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn int8_panel(tile: int8::Tile<'_>, out: &mut [f32]) {
    let finishing = Finishing::of_int8(&tile);
    for row in (0..tile.rows).step_by(TILE) {
        for column in (0..tile.columns).step_by(COLUMNS) {
            // SAFETY: the check saw that rows are there up to a multiple of four, and columns up to
            // one of 64; `r` is less than the number of rows that are left.
            unsafe {
                let sums = [products(&tile, row, column), products(&tile, row, column + TILE)];
                for r in 0..TILE.min(tile.rows - row) {
                    let sums = [sums[0][r], sums[1][r]];
                    finishing.row(row + r, column, scaled(&tile, row + r, column, sums), out);
                }
            }
        }
    }
}

/// The sums of four rows, with four columns each. An 8-bit product fits 16 bits, two of them added
/// do not: `sadalp` widens while it adds pairs.
///
/// # Safety
/// There are rows up to `row + 4`, and columns up to `column + 4`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn products(tile: &int8::Tile<'_>, row: usize, column: usize) -> [int32x4_t; TILE] {
    let depth = 4 * tile.quads;
    let mut sums = [[vdupq_n_s32(0); TILE]; TILE];
    for group in 0..depth / 8 {
        // SAFETY: four rows and four columns have `4 * depth` bytes each, 32 per group.
        unsafe {
            let a = tile.a.as_ptr().add(row * depth + 32 * group).cast::<i64>();
            let b = tile.panel.as_ptr().add(column * depth + 32 * group);
            let b = [vld1q_s8(b), vld1q_s8(b.add(16))];
            for (r, sums) in sums.iter_mut().enumerate() {
                // The same eight inputs in both halves, as each half of `b` is another column.
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
