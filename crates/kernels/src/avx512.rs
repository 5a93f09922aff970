//! AVX-512 F, BW, VL and VNNI.

#![allow(unsafe_code)]

use std::{arch::x86_64::*, mem::transmute};

use crate::{PANEL, bf16, float, int8};

crate::isa::compile_pointwise!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

/// Registers across a panel.
const ACROSS: usize = PANEL / 16;
/// Rows of a tile: 24 of the 32 registers are sums.
const ROWS: usize = 6;

/// Repeats the block for each row of a tile, with a constant for the row: a loop that the compiler
/// leaves a loop would index the sums, and so keep them out of registers.
macro_rules! unrolled {
    ($row:ident in $rows:ident $body:block) => {
        unrolled!(@ $row, $rows, $body, 0, 1, 2, 3, 4, 5)
    };
    (@ $row:ident, $rows:ident, $body:block, $($index:literal),*) => {
        $(if $index < $rows {
            let $row = $index;
            $body
        })*
    };
}

/// What a tile of rows brings into the second-level cache of the panel that follows, as most weights
/// come from memory: hardware prefetches no further than to the end of a page.
struct Next {
    start: *const i8,
    lines: usize,
}

impl Next {
    /// `steps`: of the product, each of [`ACROSS`] cache lines. The tiles of a panel share the lines
    /// of the next one out evenly.
    #[inline(always)]
    fn panel<T>(panel: &[T], steps: usize, row: usize, rows: usize) -> Self {
        let lines = (ACROSS * steps).div_ceil(rows.div_ceil(ROWS));
        let start = panel.as_ptr_range().end.cast::<i8>();
        Self { start: start.wrapping_add(64 * (row / ROWS) * lines), lines }
    }

    /// A line, if there is one left at this step.
    #[inline(always)]
    fn prefetch(&self, step: usize) {
        if step < self.lines {
            // SAFETY: x86-64 has SSE; a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.start.wrapping_add(64 * step)) }
        }
    }
}

/// One float panel.
///
/// # Safety
/// The machine has AVX-512 F; `tile` passed [`float::Tile::check`] with `out`.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn float_panel(tile: float::Tile<'_>, out: &mut [f32]) {
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: `float_rows` asks for what this function asks for, and for `row + R <= rows`.
        unsafe {
            match tile.rows - row {
                1 => float_rows::<1>(&tile, row, out),
                2 => float_rows::<2>(&tile, row, out),
                3 => float_rows::<3>(&tile, row, out),
                4 => float_rows::<4>(&tile, row, out),
                5 => float_rows::<5>(&tile, row, out),
                _ => float_rows::<ROWS>(&tile, row, out),
            }
        }
        row += ROWS;
    }
}

/// # Safety
/// As [`float_panel`], and `row + R <= tile.rows`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn float_rows<const R: usize>(tile: &float::Tile<'_>, row: usize, out: &mut [f32]) {
    let masks = masks(tile.columns);
    // SAFETY: `Tile::check` saw that every row of `a` has `depth` numbers, the panel
    // `depth * PANEL`, the bias `columns`, and every row of `out` `columns`; loads and stores of
    // the last two are masked to `columns`.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let mut panel = tile.panel.as_ptr();
        let mut sums = [[_mm512_setzero_ps(); ACROSS]; R];
        let next = Next::panel(tile.panel, tile.depth, row, tile.rows);
        for depth in 0..tile.depth {
            next.prefetch(depth);
            let b = [
                _mm512_loadu_ps(panel),
                _mm512_loadu_ps(panel.add(16)),
                _mm512_loadu_ps(panel.add(32)),
                _mm512_loadu_ps(panel.add(48)),
            ];
            unrolled!(r in R {
                let a = _mm512_set1_ps(*a.add(r * tile.a_stride + depth));
                sums[r][0] = _mm512_fmadd_ps(a, b[0], sums[r][0]);
                sums[r][1] = _mm512_fmadd_ps(a, b[1], sums[r][1]);
                sums[r][2] = _mm512_fmadd_ps(a, b[2], sums[r][2]);
                sums[r][3] = _mm512_fmadd_ps(a, b[3], sums[r][3]);
            });
            panel = panel.add(PANEL);
        }
        unrolled!(r in R {
            let out = out.as_mut_ptr().add((row + r) * tile.out_stride);
            finish(sums[r], tile.bias, tile.add, masks, out);
        });
    }
}

/// One panel of bfloat16.
///
/// # Safety
/// The machine has AVX-512 F and BF16; `tile` passed [`bf16::Tile::check`] with `out`.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) unsafe fn bf16_panel(tile: bf16::Tile<'_>, out: &mut [f32]) {
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: `bf16_rows` asks for what this function asks for, and for `row + R <= rows`.
        unsafe {
            match tile.rows - row {
                1 => bf16_rows::<1>(&tile, row, out),
                2 => bf16_rows::<2>(&tile, row, out),
                3 => bf16_rows::<3>(&tile, row, out),
                4 => bf16_rows::<4>(&tile, row, out),
                5 => bf16_rows::<5>(&tile, row, out),
                _ => bf16_rows::<ROWS>(&tile, row, out),
            }
        }
        row += ROWS;
    }
}

/// # Safety
/// As [`bf16_panel`], and `row + R <= tile.rows`.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn bf16_rows<const R: usize>(tile: &bf16::Tile<'_>, row: usize, out: &mut [f32]) {
    let masks = masks(tile.columns);
    // SAFETY: `Tile::check` saw that every row of `a` has `2 * pairs` numbers, the panel
    // `2 * pairs * PANEL`, the bias `columns`, and every row of `out` `columns`; loads and stores
    // of the last two are masked to `columns`. Any bits are bfloat16.
    unsafe {
        let a = tile.a.as_ptr().add(row * tile.a_stride);
        let mut panel = tile.panel.as_ptr();
        let mut sums = [[_mm512_setzero_ps(); ACROSS]; R];
        let next = Next::panel(tile.panel, tile.pairs, row, tile.rows);
        for pair in 0..tile.pairs {
            next.prefetch(pair);
            let load = |at: usize| transmute(_mm512_loadu_si512(panel.add(at).cast()));
            let b: [__m512bh; ACROSS] = [load(0), load(32), load(64), load(96)];
            unrolled!(r in R {
                let a = a.add(r * tile.a_stride + 2 * pair).cast::<i32>().read_unaligned();
                let a: __m512bh = transmute(_mm512_set1_epi32(a));
                sums[r][0] = _mm512_dpbf16_ps(sums[r][0], a, b[0]);
                sums[r][1] = _mm512_dpbf16_ps(sums[r][1], a, b[1]);
                sums[r][2] = _mm512_dpbf16_ps(sums[r][2], a, b[2]);
                sums[r][3] = _mm512_dpbf16_ps(sums[r][3], a, b[3]);
            });
            panel = panel.add(2 * PANEL);
        }
        unrolled!(r in R {
            let out = out.as_mut_ptr().add((row + r) * tile.out_stride);
            finish(sums[r], tile.bias, tile.add, masks, out);
        });
    }
}

/// One panel of bfloat16, multiplied as f32.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) fn bf16_panel_in_f32(tile: bf16::Tile<'_>, out: &mut [f32]) {
    crate::plain::bf16_panel(tile, out);
}

/// One panel of quantized weights.
///
/// # Safety
/// The machine has AVX-512 F and VNNI; `tile` passed [`int8::Tile::check`] with `out`.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) unsafe fn int8_panel(tile: int8::Tile<'_>, out: &mut [f32]) {
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: `int8_rows` asks for what this function asks for, and for `row + R <= rows`.
        unsafe {
            match tile.rows - row {
                1 => int8_rows::<1>(&tile, row, out),
                2 => int8_rows::<2>(&tile, row, out),
                3 => int8_rows::<3>(&tile, row, out),
                4 => int8_rows::<4>(&tile, row, out),
                5 => int8_rows::<5>(&tile, row, out),
                _ => int8_rows::<ROWS>(&tile, row, out),
            }
        }
        row += ROWS;
    }
}

/// # Safety
/// As [`int8_panel`], and `row + R <= tile.rows`.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
unsafe fn int8_rows<const R: usize>(tile: &int8::Tile<'_>, row: usize, out: &mut [f32]) {
    let masks = masks(tile.columns);
    // SAFETY: `Tile::check` saw that every row of `a` has `4 * quads` numbers, the panel
    // `4 * quads * PANEL`, scales, corrections and outer columns `PANEL`, there is a scale and an
    // outer number per row, the bias has `columns`, and every row of `out` too; loads and stores of
    // the last two are masked.
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
        let next = Next::panel(tile.panel, tile.quads, row, tile.rows);
        for quad in 0..tile.quads {
            next.prefetch(quad);
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
            finish([scale(0), scale(1), scale(2), scale(3)], tile.bias, tile.add, masks, out);
        });
    }
}

/// Which columns of each register are in use.
fn masks(columns: usize) -> [__mmask16; ACROSS] {
    std::array::from_fn(|i| match columns.saturating_sub(16 * i) {
        16.. => u16::MAX,
        rest => (1 << rest) - 1,
    })
}

/// Adds the bias and stores, or adds to, the outputs of one row.
///
/// # Safety
/// The machine has AVX-512 F; `bias` and `out` may be read and written where `masks` are set.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn finish(
    mut sums: [__m512; ACROSS],
    bias: Option<&[f32]>,
    add: bool,
    masks: [__mmask16; ACROSS],
    out: *mut f32,
) {
    for (i, sum) in sums.iter_mut().enumerate() {
        // SAFETY: masked lanes are neither read nor written, so that pointers may lie outside.
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

/// `out = exp(scale * (row - max(row)))` in bfloat16; returns the sum before rounding.
///
/// # Safety
/// The machine has AVX-512 F, BW, VL and BF16; `out` is as long as `row`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn exponentials_in_bf16(row: &[f32], scale: f32, out: &mut [u16]) -> f32 {
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
        let scale = _mm512_set1_ps(scale);
        let max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
        // Not x * scale - max * scale, whose rounding would be that of large numbers.
        let below = |x| _mm512_mul_ps(_mm512_sub_ps(x, max), scale);
        let mut sum = _mm512_setzero_ps();
        let (outs, out_of_rest) = out.as_chunks_mut::<16>();
        for (chunk, out) in chunks.iter().zip(outs) {
            let e = exp(below(_mm512_loadu_ps(chunk.as_ptr())));
            sum = _mm512_add_ps(sum, e);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), narrowed(e));
        }
        let e = _mm512_maskz_mov_ps(tail, exp(below(rest)));
        let rounded = narrowed(e);
        _mm256_mask_storeu_epi16(out_of_rest.as_mut_ptr().cast(), tail, rounded);
        _mm512_reduce_add_ps(_mm512_add_ps(sum, e))
    }
}

/// As [`crate::pointwise::round_to_bf16`].
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn narrowed(x: __m512) -> __m256i {
    // SAFETY: both are 256 bits.
    unsafe { transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) }
}

/// e^x for x <= 0, to about two units in the last place; zero far below.
#[target_feature(enable = "avx512f")]
#[inline]
fn exp(x: __m512) -> __m512 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let all = _mm512_set1_ps;
    // So far below that powers of two leave f32, but -inf does not become NaN.
    let x = _mm512_max_ps(x, all(-200.0));
    let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(_mm512_mul_ps(
        x,
        all(std::f32::consts::LOG2_E),
    ));
    let r = _mm512_fnmadd_ps(n, all(LN2_HIGH), x);
    let r = _mm512_fnmadd_ps(n, all(LN2_LOW), r);
    // The polynomial of `pointwise::exp`.
    let p = _mm512_fmadd_ps(all(1.987_569_1e-4), r, all(1.398_2e-3));
    let p = _mm512_fmadd_ps(p, r, all(8.333_452e-3));
    let p = _mm512_fmadd_ps(p, r, all(4.166_579_6e-2));
    let p = _mm512_fmadd_ps(p, r, all(1.666_666_5e-1));
    let p = _mm512_fmadd_ps(p, r, all(0.5));
    let p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, all(1.0)));
    _mm512_scalef_ps(p, n)
}
