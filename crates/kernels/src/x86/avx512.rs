//! Kernels for AVX-512 F, BW, DQ, VL and VNNI, and for BF16 where the CPU has it.

#![allow(unsafe_code)]

use std::{arch::x86_64::*, mem::transmute};

use super::macros::{compile_loops, up_to_six, up_to_twelve};
use crate::{
    layout::PANEL,
    loops, plain,
    rows::{Rows, end_of_rows},
    tile::{Int8Tile, Tile},
};

compile_loops!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

/// Registers across a panel.
const ACROSS: usize = PANEL / 16;
/// Rows of a tile, so that 24 of the 32 registers hold sums.
const ROWS: usize = 6;
/// Columns of a panel up to which a tile has twice as many rows of half as many registers.
const NARROW: usize = PANEL / 2;

/// Repeats the block for each row of a tile, with a constant for the row. In a loop that the
/// compiler does not unroll, the sums would be indexed and thus not stay in registers.
macro_rules! unrolled {
    ($row:ident in $rows:ident $body:block) => {
        unrolled!(@ $row, $rows, $body, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    };
    (@ $row:ident, $rows:ident, $body:block, $($index:literal),*) => {
        $(if $index < $rows {
            let $row = $index;
            $body
        })*
    };
}

/// Prefetches the next panel into the second-level cache while a tile of rows is computed. Most
/// weights come from memory, and hardware does not prefetch beyond the end of a page.
struct Prefetch {
    start: *const i8,
    lines: usize,
}

impl Prefetch {
    /// Takes the panel that the tile is multiplied by, and how many steps this has, each of
    /// [`ACROSS`] cache lines. The tiles of a panel prefetch equal parts of the next one.
    #[inline(always)]
    fn after_panel<T>(panel: &[T], steps: usize, row: usize, rows: usize) -> Self {
        let lines = (ACROSS * steps).div_ceil(rows.div_ceil(ROWS));
        let start = panel.as_ptr_range().end.cast::<i8>();
        Self { start: start.wrapping_add(64 * (row / ROWS) * lines), lines }
    }

    /// Prefetches one line, if this part has one for the step.
    #[inline(always)]
    fn line(&self, step: usize) {
        if step < self.lines {
            // SAFETY: x86-64 has SSE, and a prefetch may take any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.start.wrapping_add(64 * step)) }
        }
    }
}

/// Multiplies by one f32 panel.
///
/// # Safety
/// The CPU has AVX-512 F, and `tile` passed its check with `out`.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn float_panel(tile: Tile<'_, f32>, out: &mut [f32]) {
    // SAFETY: the conditions of this function are those of `float_rows`, with `row + R <= rows`,
    // and a narrow panel has at most the columns of two registers.
    unsafe {
        if tile.columns <= NARROW {
            for row in (0..tile.rows).step_by(2 * ROWS) {
                up_to_twelve!(tile.rows - row, float_rows::<2>(&tile, row, out));
            }
        } else {
            for row in (0..tile.rows).step_by(ROWS) {
                up_to_six!(tile.rows - row, float_rows::<ACROSS>(&tile, row, out));
            }
        }
    }
}

/// Multiplies `R` rows by the first `A` registers of columns of the panel.
///
/// # Safety
/// The conditions of [`float_panel`], `row + R <= tile.rows`, and `tile.columns <= 16 * A`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn float_rows<const A: usize, const R: usize>(
    tile: &Tile<'_, f32>,
    row: usize,
    out: &mut [f32],
) {
    let masks = masks::<A>(tile.columns);
    // SAFETY: by `Tile::check`, every row of `a` has `depth` numbers, the panel has `depth *
    // PANEL`, the bias and every row of `out` have `columns`. Loads and stores of the last two are
    // masked to `columns`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let mut panel = tile.panel.as_ptr();
        let mut sums = [[_mm512_setzero_ps(); A]; R];
        let prefetch = Prefetch::after_panel(tile.panel, tile.depth, row, tile.rows);
        for depth in 0..tile.depth {
            if A == ACROSS {
                prefetch.line(depth);
            }
            let b: [_; A] = std::array::from_fn(|i| _mm512_loadu_ps(panel.add(16 * i)));
            unrolled!(r in R {
                let a = _mm512_set1_ps(*a.add(r * tile.a_stride + depth));
                unrolled!(i in A {
                    sums[r][i] = _mm512_fmadd_ps(a, b[i], sums[r][i]);
                });
            });
            panel = panel.add(PANEL);
        }
        unrolled!(r in R {
            let out = out.as_mut_ptr().add((row + r) * tile.out_stride);
            store(sums[r], tile.bias, tile.add, masks, out);
        });
    }
}

/// Multiplies by one bfloat16 panel.
///
/// # Safety
/// The CPU has AVX-512 F and BF16, and `tile` passed its check with `out`.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn bf16_panel(tile: Tile<'_, u16>, out: &mut [f32]) {
    // SAFETY: the conditions of this function are those of `bf16_rows`, with `row + R <= rows`, and
    // a narrow panel has at most the columns of two registers.
    unsafe {
        if tile.columns <= NARROW {
            for row in (0..tile.rows).step_by(2 * ROWS) {
                up_to_twelve!(tile.rows - row, bf16_rows::<2>(&tile, row, out));
            }
        } else {
            for row in (0..tile.rows).step_by(ROWS) {
                up_to_six!(tile.rows - row, bf16_rows::<ACROSS>(&tile, row, out));
            }
        }
    }
}

/// Multiplies `R` rows by the first `A` registers of columns of the panel.
///
/// # Safety
/// The conditions of [`bf16_panel`], `row + R <= tile.rows`, and `tile.columns <= 16 * A`.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn bf16_rows<const A: usize, const R: usize>(
    tile: &Tile<'_, u16>,
    row: usize,
    out: &mut [f32],
) {
    let masks = masks::<A>(tile.columns);
    // SAFETY: by `Tile::check`, every row of `a` has `depth` numbers, the panel has `depth *
    // PANEL`, the bias and every row of `out` have `columns`. Loads and stores of the last two are
    // masked to `columns`. Every bit pattern is a valid bfloat16.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let mut panel = tile.panel.as_ptr();
        let mut sums = [[_mm512_setzero_ps(); A]; R];
        let pairs = tile.depth / 2;
        let prefetch = Prefetch::after_panel(tile.panel, pairs, row, tile.rows);
        for pair in 0..pairs {
            if A == ACROSS {
                prefetch.line(pair);
            }
            let b: [__m512bh; A] =
                std::array::from_fn(|i| transmute(_mm512_loadu_si512(panel.add(32 * i).cast())));
            unrolled!(r in R {
                let a = a.add(r * tile.a_stride + 2 * pair).cast::<i32>().read_unaligned();
                let a: __m512bh = transmute(_mm512_set1_epi32(a));
                unrolled!(i in A {
                    sums[r][i] = _mm512_dpbf16_ps(sums[r][i], a, b[i]);
                });
            });
            panel = panel.add(2 * PANEL);
        }
        unrolled!(r in R {
            let out = out.as_mut_ptr().add((row + r) * tile.out_stride);
            store(sums[r], tile.bias, tile.add, masks, out);
        });
    }
}

/// Multiplies by one bfloat16 panel, in f32.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) fn bf16_panel_in_f32(tile: Tile<'_, u16>, out: &mut [f32]) {
    plain::bf16_panel_in_f32(tile, out);
}

/// Multiplies by one int8 panel.
///
/// # Safety
/// The CPU has AVX-512 F and VNNI, and `tile` passed its check with `out`.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) unsafe fn int8_panel(tile: Int8Tile<'_>, out: &mut [f32]) {
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: the conditions of this function are those of `int8_rows`, with `row + R <= rows`.
        unsafe {
            up_to_six!(tile.rows - row, int8_rows(&tile, row, out));
        }
        row += ROWS;
    }
}

/// Multiplies `R` rows by the panel.
///
/// # Safety
/// The conditions of [`int8_panel`], and `row + R <= tile.rows`.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
unsafe fn int8_rows<const R: usize>(tile: &Int8Tile<'_>, row: usize, out: &mut [f32]) {
    let masks = masks(tile.columns);
    // SAFETY: by `Int8Tile::check`, every row of `a` has `4 * quads` numbers, the panel has `4 *
    // quads * PANEL`, scales, corrections and outer columns have `PANEL`, there is a scale and an
    // outer number per row, the bias and every row of `out` have `columns`. Loads and stores of the
    // last two are masked to `columns`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let mut panel = tile.panel.as_ptr();
        let corrections: [_; ACROSS] = std::array::from_fn(|i| {
            _mm512_loadu_si512(tile.corrections.as_ptr().add(16 * i).cast())
        });
        let mut sums = [corrections; R];
        if let Some((rows, columns)) = tile.outer {
            let columns: [_; ACROSS] =
                std::array::from_fn(|i| _mm512_loadu_si512(columns.as_ptr().add(16 * i).cast()));
            unrolled!(r in R {
                let of_row = _mm512_set1_epi32(*rows.as_ptr().add(row + r));
                for (sum, of_column) in sums[r].iter_mut().zip(columns) {
                    *sum = _mm512_add_epi32(*sum, _mm512_mullo_epi32(of_row, of_column));
                }
            });
        }
        let prefetch = Prefetch::after_panel(tile.panel, tile.quads, row, tile.rows);
        for quad in 0..tile.quads {
            prefetch.line(quad);
            let b = [
                _mm512_loadu_si512(panel.cast()),
                _mm512_loadu_si512(panel.add(64).cast()),
                _mm512_loadu_si512(panel.add(128).cast()),
                _mm512_loadu_si512(panel.add(192).cast()),
            ];
            unrolled!(r in R {
                let a = a.add(r * tile.a_stride + 4 * quad).cast::<i32>().read_unaligned();
                let a = _mm512_set1_epi32(a);
                sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], a, b[0]);
                sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], a, b[1]);
                sums[r][2] = _mm512_dpbusd_epi32(sums[r][2], a, b[2]);
                sums[r][3] = _mm512_dpbusd_epi32(sums[r][3], a, b[3]);
            });
            panel = panel.add(4 * PANEL);
        }
        let scales: [_; ACROSS] =
            std::array::from_fn(|i| _mm512_loadu_ps(tile.scales.as_ptr().add(16 * i)));
        unrolled!(r in R {
            let row_scale = _mm512_set1_ps(*tile.row_scales.as_ptr().add(row + r));
            let scale = |i: usize| {
                _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][i]), _mm512_mul_ps(row_scale, scales[i]))
            };
            let out = out.as_mut_ptr().add((row + r) * tile.out_stride);
            store([scale(0), scale(1), scale(2), scale(3)], tile.bias, tile.add, masks, out);
        });
    }
}

/// Returns a mask of the columns in use for each register.
fn masks<const A: usize>(columns: usize) -> [__mmask16; A] {
    std::array::from_fn(|i| match columns.saturating_sub(16 * i) {
        16.. => u16::MAX,
        rest => (1 << rest) - 1,
    })
}

/// Adds the bias to the results of one row, and stores them or adds them to the output.
///
/// # Safety
/// The CPU has AVX-512 F. Where `masks` are set, `bias` may be read and `out` read and written.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn store<const A: usize>(
    mut sums: [__m512; A],
    bias: Option<&[f32]>,
    add: bool,
    masks: [__mmask16; A],
    out: *mut f32,
) {
    for (i, sum) in sums.iter_mut().enumerate() {
        // SAFETY: masked lanes are neither read nor written, so that pointers may be out of bounds.
        unsafe {
            let out = out.wrapping_add(16 * i);
            if let Some(bias) = bias {
                let bias = bias.as_ptr().wrapping_add(16 * i);
                *sum = _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(masks[i], bias));
            }
            if add {
                *sum = _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(masks[i], out));
            }
            _mm512_mask_storeu_ps(out, masks[i], *sum);
        }
    }
}

/// Computes `out = exp(scale * (row - max(row)))` in bfloat16 and returns the sum before rounding.
///
/// # Safety
/// The CPU has AVX-512 F, BW, DQ, VL and BF16, and `out` is as long as `row`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) unsafe fn exponentials_to_bf16(row: &[f32], scale: f32, out: &mut [u16]) -> f32 {
    let (chunks, rest) = row.as_chunks::<16>();
    let tail: __mmask16 = (1 << rest.len()) - 1;
    // SAFETY: masked lanes are neither read nor written, and `out` is as long as `row`.
    unsafe {
        let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
        let rest = _mm512_mask_loadu_ps(lowest, tail, rest.as_ptr());
        let mut max = rest;
        for chunk in chunks {
            max = _mm512_max_ps(max, _mm512_loadu_ps(chunk.as_ptr()));
        }
        // Computes powers of two. x * scale - max * scale is less exact far below the maximum,
        // where it matters less.
        let scale = _mm512_set1_ps(scale * std::f32::consts::LOG2_E);
        let max = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(max)), scale);
        let below = |x| _mm512_fmsub_ps(x, scale, max);
        let mut sum = _mm512_setzero_ps();
        let (outs, out_of_rest) = out.as_chunks_mut::<16>();
        for (chunk, out) in chunks.iter().zip(outs) {
            let e = exp2(below(_mm512_loadu_ps(chunk.as_ptr())));
            sum = _mm512_add_ps(sum, e);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), narrowed(e));
        }
        let e = _mm512_maskz_mov_ps(tail, exp2(below(rest)));
        let rounded = narrowed(e);
        _mm256_mask_storeu_epi16(out_of_rest.as_mut_ptr().cast(), tail, rounded);
        _mm512_reduce_add_ps(_mm512_add_ps(sum, e))
    }
}

/// Computes [`loops::convolve_rows`] with the same order of operations, 64 channels at a time:
/// their sums fill the registers, and their inputs are adjacent.
///
/// # Safety
/// The CPU has AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) unsafe fn convolve_rows_fast(
    x: &[f32],
    stride: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    const { assert!(ROWS == loops::CONVOLVED_ROWS) };
    let channels = out.len() / ROWS;
    let taps = weights.len() / channels.max(1);
    assert!(x.len() >= end_of_rows(taps + ROWS - 1, stride, channels));
    for first in (0..channels).step_by(PANEL) {
        let masks = masks(PANEL.min(channels - first));
        let mut sums = [[_mm512_setzero_ps(); ACROSS]; ROWS];
        for tap in 0..taps {
            let weights = weights.as_ptr().wrapping_add(tap * channels + first);
            let x = x.as_ptr().wrapping_add(tap * stride + first);
            // SAFETY: masked lanes are not read. The others are in row `tap` of the weights and
            // rows `tap` to `tap + ROWS - 1` of `x`, which is long enough by the assertion.
            let load = |at: *const f32, i: usize| unsafe {
                _mm512_maskz_loadu_ps(masks[i], at.wrapping_add(16 * i))
            };
            let weights: [__m512; ACROSS] = std::array::from_fn(|i| load(weights, i));
            unrolled!(r in ROWS {
                let x = x.wrapping_add(r * stride);
                sums[r][0] = _mm512_add_ps(sums[r][0], _mm512_mul_ps(load(x, 0), weights[0]));
                sums[r][1] = _mm512_add_ps(sums[r][1], _mm512_mul_ps(load(x, 1), weights[1]));
                sums[r][2] = _mm512_add_ps(sums[r][2], _mm512_mul_ps(load(x, 2), weights[2]));
                sums[r][3] = _mm512_add_ps(sums[r][3], _mm512_mul_ps(load(x, 3), weights[3]));
            });
        }
        unrolled!(r in ROWS {
            let out = out.as_mut_ptr().wrapping_add(r * channels + first);
            // SAFETY: masked lanes are not written. The others are in row `r` of `out`.
            unsafe { store(sums[r], None, false, masks, out) };
        });
    }
}

/// Packs up to 16 rows of `inputs` numbers into 16 columns of a bfloat16 panel: transposes pairs of
/// inputs to rows of `[16][2]`, [`PANEL`] pairs apart. Pairs of missing rows become zeros.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and BF16; `x` holds rows of `inputs` numbers, 16 at most; `out`
/// has `2 * PANEL * (inputs.div_ceil(2) - 1) + 32` numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn transpose_to_bf16(x: Rows<'_>, inputs: usize, out: &mut [u16]) {
    let Rows { values: x, stride, count: rows } = x;
    for first in (0..inputs).step_by(32) {
        let count = 32.min(inputs - first);
        let low: __mmask16 = (1u32 << count.min(16)).wrapping_sub(1) as u16;
        let high: __mmask16 = (1u32 << count.saturating_sub(16)).wrapping_sub(1) as u16;
        let mut pairs = [_mm512_setzero_si512(); 16];
        for (row, pairs) in pairs.iter_mut().enumerate().take(rows) {
            let x = x.as_ptr().wrapping_add(row * stride + first);
            // SAFETY: masked lanes are not read, the others are in the row. Both types have 512
            // bits.
            unsafe {
                // Prefetches the next 16 rows. Strided rows are too short for the hardware to do
                // so.
                let next = x.wrapping_add(16 * stride).cast::<i8>();
                _mm_prefetch::<_MM_HINT_T0>(next);
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(64));
                let low = _mm512_maskz_loadu_ps(low, x);
                let high = _mm512_maskz_loadu_ps(high, x.wrapping_add(16));
                *pairs = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            }
        }
        for (pair, column) in transposed(pairs).iter().enumerate().take(count.div_ceil(2)) {
            let out = out.as_mut_ptr().wrapping_add((first / 2 + pair) * 2 * PANEL);
            // SAFETY: the last column ends within `out`.
            unsafe { _mm512_storeu_si512(out.cast(), *column) }
        }
    }
}

/// Transposes a matrix of 32-bit numbers.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Transposes blocks of 2 by 2, 4 by 4, 8 by 8, and 16 by 16.
    let mut a = rows;
    for i in (0..16).step_by(2) {
        a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut b = a;
    for i in (0..16).step_by(4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    // `b[4 * g + j]` has column `4 * lane + j` of rows `4 * g` to `4 * g + 3`.
    let mut transposed = b;
    for j in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x44>(b[j], b[4 + j]);
        let high = _mm512_shuffle_i32x4::<0xEE>(b[j], b[4 + j]);
        let low_of_rest = _mm512_shuffle_i32x4::<0x44>(b[8 + j], b[12 + j]);
        let high_of_rest = _mm512_shuffle_i32x4::<0xEE>(b[8 + j], b[12 + j]);
        transposed[j] = _mm512_shuffle_i32x4::<0x88>(low, low_of_rest);
        transposed[4 + j] = _mm512_shuffle_i32x4::<0xDD>(low, low_of_rest);
        transposed[8 + j] = _mm512_shuffle_i32x4::<0x88>(high, high_of_rest);
        transposed[12 + j] = _mm512_shuffle_i32x4::<0xDD>(high, high_of_rest);
    }
    transposed
}

/// Rounds two rows to bfloat16 and interleaves them: `[a.len()][2]`. Prefetches the numbers `ahead`
/// further in memory.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and BF16; `b` is as long as `a`, and `out` is twice as long.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn interleave_to_bf16(a: &[f32], b: &[f32], ahead: usize, out: &mut [u16]) {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut index = 0;
        while index < 32 {
            order[index] = (index / 2 + index % 2 * 16) as u16;
            index += 1;
        }
        order
    };
    // SAFETY: the array has 512 bits.
    let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
    for first in (0..a.len()).step_by(16) {
        let count = 16.min(a.len() - first);
        let mask: __mmask16 = ((1u32 << count) - 1) as u16;
        let mask_of_pairs: __mmask32 = ((1u64 << (2 * count)) - 1) as u32;
        // SAFETY: masked lanes are neither read nor written, the others are in the slices. Both
        // types have 512 bits.
        unsafe {
            let next = |row: &[f32]| row.as_ptr().wrapping_add(ahead + first).cast();
            _mm_prefetch::<_MM_HINT_T0>(next(a));
            _mm_prefetch::<_MM_HINT_T0>(next(b));
            let a = _mm512_maskz_loadu_ps(mask, a.as_ptr().add(first));
            let b = _mm512_maskz_loadu_ps(mask, b.as_ptr().add(first));
            let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
            let paired = _mm512_permutexvar_epi16(order, both);
            _mm512_mask_storeu_epi16(out.as_mut_ptr().add(2 * first).cast(), mask_of_pairs, paired);
        }
    }
}

/// Computes [`loops::quantize_affine`] bit for bit, mostly without its divisions.
///
/// # Safety
/// The CPU has AVX-512 F, BW, DQ and VL, and `out` is as long as `x`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) unsafe fn quantize_affine_fast(x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
    const REGISTERS: usize = 4;
    let reciprocal = 1.0 / scale;
    // A reciprocal that overflows or underflows is useless.
    let (chunks, rest) =
        if reciprocal.is_normal() { x.as_chunks::<{ 16 * REGISTERS }>() } else { (&[][..], x) };
    let (outs, out_of_rest) = out.as_chunks_mut::<{ 16 * REGISTERS }>();
    let (outs, out_of_rest) = match chunks.len() {
        0 => (&mut [][..], out),
        _ => (outs, out_of_rest),
    };
    let zero = f32::from(zero_point);
    let (min, max) = (_mm512_set1_ps(-zero), _mm512_set1_ps(255.0 - zero));
    let zero = _mm512_set1_epi32(i32::from(zero_point));
    for (chunk, out) in chunks.iter().zip(outs) {
        let mut near = 0;
        for index in 0..REGISTERS {
            // SAFETY: the chunk is as long as these registers.
            let x = unsafe { _mm512_loadu_ps(chunk.as_ptr().add(16 * index)) };
            let steps = _mm512_mul_ps(x, _mm512_set1_ps(reciprocal));
            let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(steps);
            // Steps are rounded twice more than the quotient. Up to 255 they are off by less than
            // 1e-4, so that they can round differently only this close to a tie.
            let from_whole = _mm512_abs_ps(_mm512_sub_ps(steps, whole));
            near |= _mm512_cmp_ps_mask::<_CMP_GT_OQ>(from_whole, _mm512_set1_ps(0.4995));
            // In this order, NaN becomes the minimum.
            let whole = _mm512_min_ps(_mm512_max_ps(whole, min), max);
            let whole = _mm512_add_epi32(_mm512_cvtps_epi32(whole), zero);
            // SAFETY: as above.
            unsafe {
                let out = out.as_mut_ptr().add(16 * index);
                _mm_storeu_si128(out.cast(), _mm512_cvtepi32_epi8(whole));
            }
        }
        if near != 0 {
            loops::quantize_affine(chunk, scale, zero_point, out);
        }
    }
    loops::quantize_affine(rest, scale, zero_point, out_of_rest);
}

/// Computes [`loops::round_to_bf16`].
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn narrowed(x: __m512) -> __m256i {
    // SAFETY: both types have 256 bits.
    unsafe { transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) }
}

/// Computes 2^x for x <= 0 to about one part in a million; zero below the range of f32. NaN stays
/// NaN.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn exp2(x: __m512) -> __m512 {
    let all = _mm512_set1_ps;
    // A limit whose power of two is zero, and at which -inf does not become NaN.
    let x = _mm512_max_ps(all(-200.0), x);
    // The remainder after rounding down to a whole power.
    let r = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
    // The polynomial of degree 5 with the smallest relative error from 0 to 1.
    let p = _mm512_fmadd_ps(all(1.877_576_7e-3), r, all(8.989_341e-3));
    let p = _mm512_fmadd_ps(p, r, all(5.582_631_8e-2));
    let p = _mm512_fmadd_ps(p, r, all(2.401_536_1e-1));
    let p = _mm512_fmadd_ps(p, r, all(6.931_531e-1));
    let p = _mm512_fmadd_ps(p, r, all(0.999_999_94));
    _mm512_scalef_ps(p, x)
}
