//! NEON, which every aarch64 has, and what later versions of the architecture add to it.
//!
//! Inner loops are written in assembly: the intrinsics of these instructions are not stable, and a
//! tile takes every register. All tiles but that of plain NEON have eight columns and up to twelve
//! rows: 24 registers of sums, 8 for operands. `make mca` counts the cycles of the loops.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use crate::{int8, plain};

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

/// Columns that are finished together.
const COLUMNS: usize = 8;

/// What is done with products on their way out.
#[derive(Clone, Copy)]
struct Finishing<'a> {
    bias: Option<&'a [f32]>,
    add: bool,
    columns: usize,
    out_stride: usize,
}

impl Finishing<'_> {
    /// Adds the bias to the products of a row from `column` on, and stores or adds those that are in
    /// use.
    #[target_feature(enable = "neon")]
    #[inline]
    fn row(self, row: usize, column: usize, products: [float32x4_t; 2], out: &mut [f32]) {
        let out = &mut out[row * self.out_stride + column..];
        let bias = self.bias.map(|bias| &bias[column..]);
        let Some(out) =
            out.first_chunk_mut::<COLUMNS>().filter(|_| column + COLUMNS <= self.columns)
        else {
            let products = numbers(products);
            plain::finish(&products[..self.columns - column], bias, self.add, out);
            return;
        };
        for (half, mut product) in products.into_iter().enumerate() {
            // SAFETY: both have eight numbers.
            unsafe {
                if let Some(bias) = bias.and_then(|bias| bias.first_chunk::<COLUMNS>()) {
                    product = vaddq_f32(product, vld1q_f32(bias.as_ptr().add(4 * half)));
                }
                let out = out.as_mut_ptr().add(4 * half);
                if self.add {
                    product = vaddq_f32(vld1q_f32(out), product);
                }
                vst1q_f32(out, product);
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn numbers(products: [float32x4_t; 2]) -> [f32; COLUMNS] {
    let mut numbers = [0f32; COLUMNS];
    // SAFETY: there is room for two registers.
    unsafe {
        vst1q_f32(numbers.as_mut_ptr(), products[0]);
        vst1q_f32(numbers.as_mut_ptr().add(4), products[1]);
    }
    numbers
}

/// Corrects and scales the sums of a row from `column` on, four columns each.
///
/// # Safety
/// `tile` passed [`int8::Tile::check`], `row < tile.rows`, `column + 4 * N <= PANEL`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn scaled<const N: usize>(
    tile: &int8::Tile<'_>,
    row: usize,
    column: usize,
    sums: [int32x4_t; N],
) -> [float32x4_t; N] {
    let mut products = [vdupq_n_f32(0.0); N];
    for (i, (product, mut sum)) in products.iter_mut().zip(sums).enumerate() {
        let column = column + 4 * i;
        // SAFETY: the check saw that there are `PANEL` scales, corrections and outer columns, and a
        // scale and an outer number per row.
        unsafe {
            sum = vaddq_s32(sum, vld1q_s32(tile.corrections.as_ptr().add(column)));
            if let Some((rows, columns)) = tile.outer {
                let columns = vld1q_s32(columns.as_ptr().add(column));
                sum = vmlaq_n_s32(sum, columns, *rows.get_unchecked(row));
            }
            let scales = vld1q_f32(tile.scales.as_ptr().add(column));
            let scales = vmulq_n_f32(scales, *tile.row_scales.get_unchecked(row));
            *product = vmulq_f32(vcvtq_f32_s32(sum), scales);
        }
    }
    products
}

impl<'a> Finishing<'a> {
    fn of_int8(tile: &int8::Tile<'a>) -> Self {
        let &int8::Tile { bias, add, columns, out_stride, .. } = tile;
        Self { bias, add, columns, out_stride }
    }
}
