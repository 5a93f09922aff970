//! Kernel for AVX-VNNI: `vpdpbusd` on 256 bits, for CPUs without AVX-512 (Alder Lake and later).

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{avx2, macros::up_to_six};
use crate::{
    layout::{Layout, RowLayout},
    tile::Int8Tile,
};

/// Columns of a tile: two registers.
const COLUMNS: usize = 16;
/// Rows of a tile, so that 12 of the 16 registers hold sums.
const ROWS: usize = 6;

/// Layout of int8 operands.
pub(crate) static LAYOUT: Layout =
    Layout { columns: COLUMNS, group: 4, step: 4, shift: 0, rows: RowLayout::RowMajor }.check();

/// Multiplies by one int8 panel.
///
/// # Safety
/// The CPU has AVX2, FMA and AVX-VNNI, and `tile` passed its check for [`LAYOUT`] with `out`.
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) unsafe fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    for column in (0..tile.columns).step_by(COLUMNS) {
        for row in (0..tile.rows).step_by(ROWS) {
            // SAFETY: the conditions of this function are those of `int8_rows`, with
            // `row + R <= rows` and `column + COLUMNS <= PANEL`.
            unsafe {
                up_to_six!(tile.rows - row, int8_rows(&tile, row, column, out));
            }
        }
    }
}

/// Multiplies `R` rows by 16 columns.
///
/// # Safety
/// The conditions of [`int8_panel`], `row + R <= tile.rows`, and `column + COLUMNS <= PANEL`.
#[target_feature(enable = "avx2,fma,avxvnni")]
#[inline]
unsafe fn int8_rows<const R: usize>(
    tile: &Int8Tile<'_>,
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let depth = 4 * tile.quads;
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: by `Int8Tile::check`, every row of `a` and every column of the panel has `depth`
    // bytes.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let panel = tile.panel.as_ptr().add(depth * column).cast::<__m256i>();
        for quad in 0..tile.quads {
            let b = panel.add(2 * quad);
            let b = [_mm256_loadu_si256(b), _mm256_loadu_si256(b.add(1))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = a.add(r * tile.a_stride + 4 * quad).cast::<i32>().read_unaligned();
                let a = _mm256_set1_epi32(a);
                sums[0] = _mm256_dpbusd_avx_epi32(sums[0], a, b[0]);
                sums[1] = _mm256_dpbusd_avx_epi32(sums[1], a, b[1]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let out = &mut out[(row + r) * tile.out_stride..];
        for (half, sums) in sums.into_iter().enumerate() {
            let column = column + 8 * half;
            if column < tile.columns {
                // SAFETY: row and columns are inside of the tile.
                let results = unsafe { avx2::dequantized(tile, row + r, column, sums) };
                avx2::store(results, tile.bias, tile.add, column, tile.columns, out);
            }
        }
    }
}
