//! Kernels for AVX2 and FMA.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::macros::{compile_loops, up_to_six};
use crate::{
    layout::{Layout, PANEL, RowLayout},
    plain,
    tile::{Int8Tile, Tile},
};

compile_loops!("avx2,fma");

/// Layout of int8 operands. Eight columns fill two registers once they are widened to 16 bits.
pub(crate) static LAYOUT: Layout =
    Layout { columns: 8, group: 4, step: 4, shift: 0, rows: RowLayout::Widened }.check();

/// Columns of a tile: two registers.
const COLUMNS: usize = 16;
/// Rows of a tile, so that 12 of the 16 registers hold sums.
const ROWS: usize = 6;

/// Multiplies by one f32 panel.
///
/// # Safety
/// The CPU has AVX2 and FMA, and `tile` passed its check with `out`.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn float_panel(tile: Tile<'_, f32>, out: &mut [f32]) {
    for column in (0..tile.columns).step_by(COLUMNS) {
        for row in (0..tile.rows).step_by(ROWS) {
            // SAFETY: the conditions of this function are those of `float_rows`, with
            // `row + R <= rows` and `column + COLUMNS <= PANEL`.
            unsafe {
                up_to_six!(tile.rows - row, float_rows(&tile, row, column, out));
            }
        }
    }
}

/// Multiplies `R` rows by 16 columns.
///
/// # Safety
/// The conditions of [`float_panel`], `row + R <= tile.rows`, and `column + COLUMNS <= PANEL`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn float_rows<const R: usize>(
    tile: &Tile<'_, f32>,
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    // SAFETY: by `Tile::check`, every row of `a` has `depth` numbers, and the panel has
    // `depth * PANEL`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let panel = tile.panel.as_ptr().add(column);
        for depth in 0..tile.depth {
            let b = panel.add(depth * PANEL);
            let b = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*a.add(r * tile.a_stride + depth));
                sums[0] = _mm256_fmadd_ps(a, b[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(a, b[1], sums[1]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let out = &mut out[(row + r) * tile.out_stride..];
        for (half, sums) in sums.into_iter().enumerate() {
            let column = column + 8 * half;
            if column < tile.columns {
                store(sums, tile.bias, tile.add, column, tile.columns, out);
            }
        }
    }
}

/// Multiplies by one bfloat16 panel, in f32.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn bf16_panel_in_f32(tile: Tile<'_, u16>, out: &mut [f32]) {
    plain::bf16_panel_in_f32(tile, out);
}

/// Multiplies by one int8 panel.
///
/// # Safety
/// The CPU has AVX2 and FMA, and `tile` passed its check for [`LAYOUT`] with `out`.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    for column in (0..tile.columns).step_by(LAYOUT.columns) {
        for row in (0..tile.rows).step_by(ROWS) {
            // SAFETY: the conditions of this function are those of `int8_rows`, with
            // `row + R <= rows` and `column + 8 <= PANEL`.
            unsafe {
                up_to_six!(tile.rows - row, int8_rows(&tile, row, column, out));
            }
        }
    }
}

/// Multiplies `R` rows by eight columns. `vpmaddubsw` would saturate (2 * 255 * 127 > 32767), so
/// both operands are widened to 16 bits, rows once when they are packed. A register then holds four
/// inputs of four columns, and `vpmaddwd` sums them in pairs.
///
/// # Safety
/// The conditions of [`int8_panel`], `row + R <= tile.rows`, and `column + 8 <= PANEL`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn int8_rows<const R: usize>(
    tile: &Int8Tile<'_>,
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let depth = 4 * tile.quads;
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: by `Int8Tile::check`, every row of `a` has `2 * depth` bytes, and every column of the
    // panel has `depth`.
    unsafe {
        let a = tile.a.as_ptr().add(2 * row * depth);
        let panel = tile.panel.as_ptr().add(depth * column).cast::<__m128i>();
        for quad in 0..tile.quads {
            let b = panel.add(2 * quad);
            let b = [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(b)),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(1))),
            ];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = a.add(2 * r * depth + 8 * quad).cast::<i64>().read_unaligned();
                let a = _mm256_set1_epi64x(a);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b));
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        // Adding pairs leaves columns 0, 1, 4, 5 in the lower half of the register.
        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[0], sums[1]));
        // SAFETY: row and columns are inside of the tile.
        let results = unsafe { dequantized(tile, row + r, column, sums) };
        store(
            results,
            tile.bias,
            tile.add,
            column,
            tile.columns,
            &mut out[(row + r) * tile.out_stride..],
        );
    }
}

/// Corrects and scales the sums of eight columns, from `column` on.
///
/// # Safety
/// The CPU has AVX2 and FMA, `tile` passed its check, `row < tile.rows`, and `column + 8 <= PANEL`.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn dequantized(
    tile: &Int8Tile<'_>,
    row: usize,
    column: usize,
    mut sums: __m256i,
) -> __m256 {
    // SAFETY: by `Int8Tile::check`, there are `PANEL` scales, corrections and outer columns, and a
    // scale and an outer number per row.
    unsafe {
        let corrections = tile.corrections.as_ptr().add(column).cast();
        sums = _mm256_add_epi32(sums, _mm256_loadu_si256(corrections));
        if let Some((rows, columns)) = tile.outer {
            let columns = _mm256_loadu_si256(columns.as_ptr().add(column).cast());
            let of_row = _mm256_set1_epi32(*rows.get_unchecked(row));
            sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(of_row, columns));
        }
        let row_scale = _mm256_set1_ps(*tile.row_scales.get_unchecked(row));
        let scales = _mm256_mul_ps(row_scale, _mm256_loadu_ps(tile.scales.as_ptr().add(column)));
        _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales)
    }
}

/// Adds the bias to the results of eight columns, from `column` on, and stores those in use, or
/// adds them to the output row.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) fn store(
    mut results: __m256,
    bias: Option<&[f32]>,
    add: bool,
    column: usize,
    columns: usize,
    out: &mut [f32],
) {
    let (bias, out) = (bias.map(|bias| &bias[column..]), &mut out[column..]);
    let whole = column + 8 <= columns;
    let Some(out) = out.first_chunk_mut::<8>().filter(|_| whole) else {
        let mut numbers = [0f32; 8];
        // SAFETY: the array is as long as a register.
        unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), results) };
        plain::store(&numbers[..columns - column], bias, add, out);
        return;
    };
    // SAFETY: both slices have eight numbers.
    unsafe {
        if let Some(bias) = bias.and_then(|bias| bias.first_chunk::<8>()) {
            results = _mm256_add_ps(results, _mm256_loadu_ps(bias.as_ptr()));
        }
        if add {
            results = _mm256_add_ps(_mm256_loadu_ps(out.as_ptr()), results);
        }
        _mm256_storeu_ps(out.as_mut_ptr(), results);
    }
}
