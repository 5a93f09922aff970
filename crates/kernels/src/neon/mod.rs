//! Kernels for aarch64: NEON, which is part of the baseline, and its extensions.
//!
//! Inner loops are written in assembly, because the intrinsics of these instructions are not stable
//! and a tile uses every register. Tiles have eight columns and up to twelve rows, that is, 24
//! registers of sums and 8 for operands; only the 8-bit tile of plain NEON is smaller. `make mca`
//! counts the cycles of the loops.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use crate::{
    plain,
    tile::{Int8Tile, Tile},
};

mod base;
mod dotprod;
mod float;
mod mmla;

pub(crate) use base::{LAYOUT, int8_panel};
pub(crate) use dotprod::{LAYOUT as DOTPROD_LAYOUT, int8_panel as int8_panel_dotprod};
pub(crate) use float::float_panel;
pub(crate) use mmla::{
    BF16_LAYOUT, I8MM_LAYOUT, bf16_panel as bf16_panel_bfmmla, int8_panel as int8_panel_i8mm,
};

/// Columns that are stored together.
const COLUMNS: usize = 8;

/// The part of a tile that is needed to store results.
#[derive(Clone, Copy)]
struct Output<'a> {
    bias: Option<&'a [f32]>,
    add: bool,
    columns: usize,
    out_stride: usize,
}

impl Output<'_> {
    /// Adds the bias to the results of a row, from `column` on, and stores those in use or adds
    /// them to the output.
    #[target_feature(enable = "neon")]
    #[inline]
    fn store(self, row: usize, column: usize, results: [float32x4_t; 2], out: &mut [f32]) {
        let out = &mut out[row * self.out_stride + column..];
        let bias = self.bias.map(|bias| &bias[column..]);
        let Some(out) =
            out.first_chunk_mut::<COLUMNS>().filter(|_| column + COLUMNS <= self.columns)
        else {
            let results = numbers(results);
            plain::store(&results[..self.columns - column], bias, self.add, out);
            return;
        };
        for (half, mut result) in results.into_iter().enumerate() {
            // SAFETY: both slices have eight numbers.
            unsafe {
                if let Some(bias) = bias.and_then(|bias| bias.first_chunk::<COLUMNS>()) {
                    result = vaddq_f32(result, vld1q_f32(bias.as_ptr().add(4 * half)));
                }
                let out = out.as_mut_ptr().add(4 * half);
                if self.add {
                    result = vaddq_f32(vld1q_f32(out), result);
                }
                vst1q_f32(out, result);
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn numbers(registers: [float32x4_t; 2]) -> [f32; COLUMNS] {
    let mut numbers = [0f32; COLUMNS];
    // SAFETY: the array is as long as two registers.
    unsafe {
        vst1q_f32(numbers.as_mut_ptr(), registers[0]);
        vst1q_f32(numbers.as_mut_ptr().add(4), registers[1]);
    }
    numbers
}

/// Corrects and scales the sums of a row, from `column` on, four columns per register.
///
/// # Safety
/// `tile` passed its check, `row < tile.rows`, and `column + 4 * N <= PANEL`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn dequantized<const N: usize>(
    tile: &Int8Tile<'_>,
    row: usize,
    column: usize,
    sums: [int32x4_t; N],
) -> [float32x4_t; N] {
    let mut results = [vdupq_n_f32(0.0); N];
    for (i, (result, mut sum)) in results.iter_mut().zip(sums).enumerate() {
        let column = column + 4 * i;
        // SAFETY: by the check, there are `PANEL` scales, corrections and outer columns, and a
        // scale and an outer number per row.
        unsafe {
            sum = vaddq_s32(sum, vld1q_s32(tile.corrections.as_ptr().add(column)));
            if let Some((rows, columns)) = tile.outer {
                let columns = vld1q_s32(columns.as_ptr().add(column));
                sum = vmlaq_n_s32(sum, columns, *rows.get_unchecked(row));
            }
            let scales = vld1q_f32(tile.scales.as_ptr().add(column));
            let scales = vmulq_n_f32(scales, *tile.row_scales.get_unchecked(row));
            *result = vmulq_f32(vcvtq_f32_s32(sum), scales);
        }
    }
    results
}

impl<'a, T> From<&Tile<'a, T>> for Output<'a> {
    fn from(&Tile { bias, add, columns, out_stride, .. }: &Tile<'a, T>) -> Self {
        Self { bias, add, columns, out_stride }
    }
}

impl<'a> From<&Int8Tile<'a>> for Output<'a> {
    fn from(&Int8Tile { bias, add, columns, out_stride, .. }: &Int8Tile<'a>) -> Self {
        Self { bias, add, columns, out_stride }
    }
}
