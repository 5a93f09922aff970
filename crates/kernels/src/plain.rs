//! Reference kernels in Rust without intrinsics. The kernels of all instruction sets are tested
//! against the same expectations.

use crate::{
    layout::PANEL,
    loops::widened,
    tile::{Int8Tile, Tile},
};

/// Multiplies by one f32 panel.
pub(crate) fn float_panel(tile: Tile<'_, f32>, out: &mut [f32]) {
    let columns = tile.columns;
    for row in 0..tile.rows {
        let a = &tile.a[row * tile.a_stride..][..tile.depth];
        let mut sums = [0f32; PANEL];
        for (&a, b) in a.iter().zip(tile.panel.as_chunks::<PANEL>().0) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
        store(&sums[..columns], tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// Multiplies by one bfloat16 panel, in f32.
#[inline(always)]
pub(crate) fn bf16_panel_in_f32(tile: Tile<'_, u16>, out: &mut [f32]) {
    for row in 0..tile.rows {
        let a = tile.a[row * tile.a_stride..][..tile.depth].as_chunks::<2>().0;
        let mut sums = [0f32; PANEL];
        for (a, b) in a.iter().zip(tile.panel.as_chunks::<{ 2 * PANEL }>().0) {
            for (sum, b) in sums.iter_mut().zip(b.as_chunks::<2>().0) {
                *sum += widened(a[0]) * widened(b[0]) + widened(a[1]) * widened(b[1]);
            }
        }
        store(&sums[..tile.columns], tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// Multiplies by one int8 panel.
pub(crate) fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    for row in 0..tile.rows {
        let a = tile.a[row * tile.a_stride..][..4 * tile.quads].as_chunks::<4>().0;
        let mut sums = [0i32; PANEL];
        for (column, sum) in sums.iter_mut().enumerate() {
            for (a, b) in a.iter().zip(tile.panel.as_chunks::<{ 4 * PANEL }>().0) {
                let b = &b[4 * column..4 * column + 4];
                let dot = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                *sum = sum.wrapping_add(dot);
            }
        }
        let results = &dequantized(&tile, row, sums)[..tile.columns];
        store(results, tile.bias, tile.add, &mut out[row * tile.out_stride..]);
    }
}

/// Corrects and scales the sums of a row. Intermediate sums may overflow i32; the last one does
/// not.
#[inline(always)]
fn dequantized(tile: &Int8Tile<'_>, row: usize, mut sums: [i32; PANEL]) -> [f32; PANEL] {
    for (sum, correction) in sums.iter_mut().zip(tile.corrections) {
        *sum = sum.wrapping_add(*correction);
    }
    if let Some((rows, columns)) = tile.outer {
        let of_row = rows[row];
        for (sum, of_column) in sums.iter_mut().zip(columns) {
            *sum = sum.wrapping_add(of_row.wrapping_mul(*of_column));
        }
    }
    let (row_scale, scales) = (tile.row_scales[row], &tile.scales[..PANEL]);
    std::array::from_fn(|i| sums[i] as f32 * (row_scale * scales[i]))
}

/// Adds the bias to the results of a row, and stores them or adds them to the output.
pub(crate) fn store(results: &[f32], bias: Option<&[f32]>, add: bool, out: &mut [f32]) {
    for (column, (out, result)) in out.iter_mut().zip(results).enumerate() {
        let sum = result + bias.map_or(0.0, |bias| bias[column]);
        *out = if add { *out + sum } else { sum };
    }
}
