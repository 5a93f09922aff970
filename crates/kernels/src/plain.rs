//! The reference: what every other instruction set must compute too.

use crate::{
    PANEL,
    bf16::{self, widened},
    float, int8,
};

/// One float panel.
pub(crate) fn float_panel(tile: float::Tile<'_>, out: &mut [f32]) {
    let columns = tile.columns;
    for row in 0..tile.rows {
        let a = &tile.a[row * tile.a_stride..][..tile.depth];
        let mut sums = [0f32; PANEL];
        for (&a, b) in a.iter().zip(tile.panel.as_chunks::<PANEL>().0) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
        finish(&sums[..columns], tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// One panel of bfloat16, multiplied as f32.
#[inline(always)]
pub(crate) fn bf16_panel(tile: bf16::Tile<'_>, out: &mut [f32]) {
    for row in 0..tile.rows {
        let a = tile.a[row * tile.a_stride..][..tile.depth].as_chunks::<2>().0;
        let mut sums = [0f32; PANEL];
        for (a, b) in a.iter().zip(tile.panel.as_chunks::<{ 2 * PANEL }>().0) {
            for (sum, b) in sums.iter_mut().zip(b.as_chunks::<2>().0) {
                *sum += widened(a[0]) * widened(b[0]) + widened(a[1]) * widened(b[1]);
            }
        }
        finish(&sums[..tile.columns], tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// One panel of quantized weights.
pub(crate) fn int8_panel(tile: int8::Tile<'_>, out: &mut [f32]) {
    for row in 0..tile.rows {
        let a = tile.a[row * tile.a_stride..][..4 * tile.quads].as_chunks::<4>().0;
        let mut sums = [0i32; PANEL];
        for (column, sum) in sums.iter_mut().enumerate() {
            for (a, b) in a.iter().zip(tile.panel.as_chunks::<{ 4 * PANEL }>().0) {
                let b = &b[4 * column..4 * column + 4];
                let four = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                *sum = sum.wrapping_add(four);
            }
        }
        let products = &scaled(&tile, row, 0, sums)[..tile.columns];
        finish(products, tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// What the sums of products from `column` on are worth. Sums may leave i32 on their way; where they
/// end is in it.
#[inline(always)]
pub(crate) fn scaled<const N: usize>(
    tile: &int8::Tile<'_>,
    row: usize,
    column: usize,
    mut sums: [i32; N],
) -> [f32; N] {
    for (sum, correction) in sums.iter_mut().zip(&tile.corrections[column..]) {
        *sum = sum.wrapping_add(*correction);
    }
    if let Some((rows, columns)) = tile.outer {
        let of_row = rows[row];
        for (sum, of_column) in sums.iter_mut().zip(&columns[column..]) {
            *sum = sum.wrapping_add(of_row.wrapping_mul(*of_column));
        }
    }
    let (row_scale, scales) = (tile.row_scales[row], &tile.scales[column..][..N]);
    std::array::from_fn(|i| sums[i] as f32 * (row_scale * scales[i]))
}

/// Adds the bias, and stores or adds to `products.len()` outputs.
pub(crate) fn finish(products: &[f32], bias: Option<&[f32]>, add: bool, out: &mut [f32]) {
    for (column, (out, product)) in out.iter_mut().zip(products).enumerate() {
        let sum = product + bias.map_or(0.0, |bias| bias[column]);
        *out = if add { *out + sum } else { sum };
    }
}
