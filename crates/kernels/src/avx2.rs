//! AVX2 and FMA.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::{
    PANEL, bf16, float, int8,
    layout::{Layout, RowLayout},
};

crate::isa::compile_pointwise!("avx2,fma");

/// Eight columns fill two registers once they are widened to 16 bits.
pub(crate) static LAYOUT: Layout =
    Layout { columns: 8, group: 4, step: 4, shift: 0, rows: RowLayout::Straight }.check();

/// Columns of a tile: two registers.
const COLUMNS: usize = 16;
/// Rows of a tile: 12 of the 16 registers are sums.
const ROWS: usize = 6;

/// One float panel.
///
/// # Safety
/// The machine has AVX2 and FMA; `tile` passed [`float::Tile::check`] with `out`.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn float_panel(tile: float::Tile<'_>, out: &mut [f32]) {
    for column in (0..tile.columns).step_by(COLUMNS) {
        for row in (0..tile.rows).step_by(ROWS) {
            // SAFETY: `float_rows` asks for what this function asks for, and for `row + R <= rows`.
            unsafe {
                match tile.rows - row {
                    1 => float_rows::<1>(&tile, row, column, out),
                    2 => float_rows::<2>(&tile, row, column, out),
                    3 => float_rows::<3>(&tile, row, column, out),
                    4 => float_rows::<4>(&tile, row, column, out),
                    5 => float_rows::<5>(&tile, row, column, out),
                    _ => float_rows::<ROWS>(&tile, row, column, out),
                }
            }
        }
    }
}

/// # Safety
/// As [`float_panel`], and `row + R <= tile.rows`, `column < PANEL`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn float_rows<const R: usize>(
    tile: &float::Tile<'_>,
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let mut products = [[0f32; COLUMNS]; R];
    // SAFETY: `Tile::check` saw that every row of `a` has `depth` numbers, and the panel
    // `depth * PANEL`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let panel = tile.panel.as_ptr().add(column);
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        for depth in 0..tile.depth {
            let b = panel.add(depth * PANEL);
            let b = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*a.add(r * tile.a_stride + depth));
                sums[0] = _mm256_fmadd_ps(a, b[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(a, b[1], sums[1]);
            }
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            _mm256_storeu_ps(products.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(products.as_mut_ptr().add(8), sums[1]);
        }
    }
    let columns = COLUMNS.min(tile.columns - column);
    for (r, products) in products.iter().enumerate() {
        let out = &mut out[(row + r) * tile.out_stride + column..];
        let bias = tile.bias.map(|bias| &bias[column..]);
        crate::plain::finish(&products[..columns], bias, tile.add, out);
    }
}

/// One panel of bfloat16, multiplied as f32.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn bf16_panel_in_f32(tile: bf16::Tile<'_>, out: &mut [f32]) {
    crate::plain::bf16_panel(tile, out);
}

/// One panel of quantized weights.
///
/// # Safety
/// The machine has AVX2; `tile` passed [`int8::Tile::check`] with `out`.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn int8_panel(tile: int8::Tile<'_>, out: &mut [f32]) {
    for column in (0..tile.columns).step_by(8) {
        for row in (0..tile.rows).step_by(4) {
            // SAFETY: `int8_rows` asks for what this function asks for, and for `row + R <= rows`.
            unsafe {
                match tile.rows - row {
                    1 => int8_rows::<1>(&tile, row, column, out),
                    2 => int8_rows::<2>(&tile, row, column, out),
                    3 => int8_rows::<3>(&tile, row, column, out),
                    _ => int8_rows::<4>(&tile, row, column, out),
                }
            }
        }
    }
}

/// Eight columns. `vpmaddubsw` would saturate (2 * 255 * 127 > 32767), so bytes are widened to
/// 16 bits: a register then holds four inputs of four columns, and `vpmaddwd` sums them in pairs.
///
/// # Safety
/// As [`int8_panel`], and `row + R <= tile.rows`, `column + 8 <= PANEL`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn int8_rows<const R: usize>(
    tile: &int8::Tile<'_>,
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: `Tile::check` saw that every row of `a` has `4 * quads` numbers, and the panel
    // `4 * quads * PANEL`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let panel = tile.panel.as_ptr().add(4 * tile.quads * column);
        for quad in 0..tile.quads {
            let b = panel.add(quad * 4 * LAYOUT.columns).cast::<__m128i>();
            let b = [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(b)),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(1))),
            ];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = a.add(r * tile.a_stride + 4 * quad).cast::<i32>().read_unaligned();
                let a = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(a)));
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b));
                }
            }
        }
    }
    let columns = 8.min(tile.columns - column);
    for (r, sums) in sums.into_iter().enumerate() {
        let mut pairs = [0i32; 16];
        // SAFETY: `pairs` has room for two registers.
        unsafe {
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(pairs.as_mut_ptr().add(8).cast(), sums[1]);
        }
        let products: [f32; 8] = std::array::from_fn(|i| {
            let sum = pairs[2 * i].wrapping_add(pairs[2 * i + 1]);
            let sum = sum.wrapping_add(crate::plain::start(tile, row + r, column + i));
            sum as f32 * (tile.row_scales[row + r] * tile.scales[column + i])
        });
        let out = &mut out[(row + r) * tile.out_stride + column..];
        let bias = tile.bias.map(|bias| &bias[column..]);
        crate::plain::finish(&products[..columns], bias, tile.add, out);
    }
}
