//! Dispatch: one safe method per inner loop, which calls the kernel of the instruction set.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::neon;
#[cfg(target_arch = "x86_64")]
use crate::x86::{avx_vnni, avx2, avx512};
use crate::{
    epilogue::PostOp,
    layout::{self, Layout},
    loops, plain,
    rows::Rows,
    tile::{Int8Tile, Tile},
};

/// An instruction set that this CPU supports. Only [`Isa::available`] creates values, which makes
/// calling its kernels sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Rust without intrinsics, for every CPU: the reference.
    Plain,
    /// AVX2 and FMA (x86-64-v3).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with VNNI on 256 bits (Alder Lake, Zen 5 and later).
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 F, BW, VL, DQ and VNNI (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The aarch64 baseline.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with dot products of four bytes (Neoverse N1, Cortex-A76 and later).
    #[cfg(target_arch = "aarch64")]
    DotProd,
    /// NEON with multiplication of 8-bit matrices (Neoverse N2, V1 and later).
    #[cfg(target_arch = "aarch64")]
    I8mm,
}

/// Error of [`select_instruction_sets`]: the requested instruction set is unknown, or this CPU does
/// not support it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown or unsupported instruction set `{requested}`; this CPU supports {}",
    supported.join(", ")
)]
pub struct UnsupportedInstructionSet {
    pub requested: String,
    pub supported: Vec<&'static str>,
}

/// The instruction set in use, once it is selected.
static SELECTED: OnceLock<Isa> = OnceLock::new();

/// Selects the instruction set that the kernels of this process use, and returns its name, for
/// example "avx512 and bf16". `None` selects the best one that the CPU supports; so does the first
/// computation if nothing was selected before.
///
/// Call it before anything computes. Weights are packed for the instruction set in use, so that it
/// does not change any more: later calls return its name.
///
/// ```standalone_crate
/// let name = kernels::select_instruction_sets(Some("plain")).expect("every CPU supports it");
/// assert_eq!(name, "plain");
/// ```
///
/// # Errors
/// If the requested instruction set is unknown or this CPU does not support it.
pub fn select_instruction_sets(
    requested: Option<&str>,
) -> Result<&'static str, UnsupportedInstructionSet> {
    let isa = requested.map_or_else(|| Ok(Isa::best()), Isa::named)?;
    let isa = *SELECTED.get_or_init(|| isa);
    Ok(match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 if isa.multiplies_bf16() => "avx512 and bf16",
        #[cfg(target_arch = "aarch64")]
        Set::I8mm if isa.multiplies_bf16() => "i8mm and bf16",
        _ => isa.name(),
    })
}

/// Calls the named function of the instruction set's module, or the portable one.
macro_rules! dispatch {
    ($isa:expr, $portable:ident::$name:ident($($argument:expr),*)) => {
        match $isa.0 {
            Set::Plain => $portable::$name($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::AvxVnni => {
                // SAFETY: `Isa::available` detected AVX2 and FMA; tiles are checked before.
                unsafe { avx2::$name($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                // SAFETY: `Isa::available` detected AVX-512; tiles are checked before.
                unsafe { avx512::$name($($argument),*) }
            }
            // The compiler may use NEON in portable code.
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::DotProd | Set::I8mm => $portable::$name($($argument),*),
        }
    };
}

impl Isa {
    /// Returns the instruction set in use: the selected one, or the best.
    pub(crate) fn selected() -> Self {
        *SELECTED.get_or_init(Self::best)
    }

    fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self(Set::Plain))
    }

    fn named(requested: &str) -> Result<Self, UnsupportedInstructionSet> {
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == requested).ok_or_else(|| {
            UnsupportedInstructionSet {
                requested: requested.to_owned(),
                supported: available.iter().map(|isa| isa.name()).collect(),
            }
        })
    }

    fn name(self) -> &'static str {
        match self.0 {
            Set::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Set::DotProd => "dotprod",
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => "i8mm",
        }
    }

    /// Returns all instruction sets that this CPU supports, from plain to best.
    pub(crate) fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let sets = [
                (Set::Plain, true),
                #[cfg(target_arch = "x86_64")]
                (Set::Avx2, avx2),
                #[cfg(target_arch = "x86_64")]
                (Set::AvxVnni, avx2 && is_x86_feature_detected!("avxvnni")),
                #[cfg(target_arch = "x86_64")]
                (
                    Set::Avx512,
                    avx2 && is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512dq")
                        && is_x86_feature_detected!("avx512vl")
                        && is_x86_feature_detected!("avx512vnni"),
                ),
                #[cfg(target_arch = "aarch64")]
                (Set::Neon, is_aarch64_feature_detected!("neon")),
                #[cfg(target_arch = "aarch64")]
                (Set::DotProd, is_aarch64_feature_detected!("dotprod")),
                #[cfg(target_arch = "aarch64")]
                (Set::I8mm, is_aarch64_feature_detected!("i8mm")),
            ];
            sets.into_iter().filter(|(_, supported)| *supported).map(|(set, _)| Self(set)).collect()
        })
    }

    /// Returns the layout that its kernels read 8-bit operands in.
    pub(crate) fn int8_layout(self) -> &'static Layout {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => &avx2::LAYOUT,
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => &avx_vnni::LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => &neon::LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::DotProd => &neon::DOTPROD_LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => &neon::I8MM_LAYOUT,
            _ => &layout::QUADS,
        }
    }

    /// Returns the layout that its kernels read bfloat16 operands in.
    pub(crate) fn bf16_layout(self) -> &'static Layout {
        match self.0 {
            #[cfg(target_arch = "aarch64")]
            Set::I8mm if self.multiplies_bf16() => &neon::BF16_LAYOUT,
            _ => &layout::PAIRS,
        }
    }

    /// Returns whether it multiplies bfloat16 natively, which is then no slower than f32.
    pub(crate) fn multiplies_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => is_aarch64_feature_detected!("bf16"),
            _ => false,
        }
    }

    pub(crate) fn float_panel(self, tile: Tile<'_, f32>, out: &mut [f32]) {
        tile.check(out);
        match self.0 {
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::DotProd | Set::I8mm => {
                // SAFETY: the CPU has NEON, and the tile is checked.
                unsafe { neon::float_panel(tile, out) }
            }
            _ => dispatch!(self, plain::float_panel(tile, out)),
        }
    }

    pub(crate) fn bf16_panel(self, tile: Tile<'_, u16>, out: &mut [f32]) {
        tile.check(self.bf16_layout(), out);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                // SAFETY: the CPU has AVX-512 with BF16, and the tile is checked.
                unsafe { avx512::bf16_panel(tile, out) }
            }
            #[cfg(target_arch = "aarch64")]
            Set::I8mm if self.multiplies_bf16() => {
                // SAFETY: the CPU has `bf16`, and the tile is checked for `BF16_LAYOUT`.
                unsafe { neon::bf16_panel_bfmmla(tile, out) }
            }
            _ => dispatch!(self, plain::bf16_panel_in_f32(tile, out)),
        }
    }

    pub(crate) fn int8_panel(self, tile: Int8Tile<'_>, out: &mut [f32]) {
        tile.check(self.int8_layout(), out);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => {
                // SAFETY: the CPU has AVX-VNNI, and the tile is checked for its layout.
                unsafe { avx_vnni::int8_panel(tile, out) }
            }
            #[cfg(target_arch = "aarch64")]
            Set::Neon => {
                // SAFETY: the CPU has NEON, and the tile is checked for its layout.
                unsafe { neon::int8_panel(tile, out) }
            }
            #[cfg(target_arch = "aarch64")]
            Set::DotProd => {
                // SAFETY: the CPU has `dotprod`, and the tile is checked for its layout.
                unsafe { neon::int8_panel_dotprod(tile, out) }
            }
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => {
                // SAFETY: the CPU has `i8mm`, and the tile is checked for its layout.
                unsafe { neon::int8_panel_i8mm(tile, out) }
            }
            _ => dispatch!(self, plain::int8_panel(tile, out)),
        }
    }

    /// Applies the activation function of `post_op`, if it has one.
    pub(crate) fn activate(self, values: &mut [f32], post_op: PostOp) {
        match post_op {
            PostOp::None | PostOp::Add => {}
            PostOp::Relu => dispatch!(self, loops::relu(values)),
            PostOp::LeakyRelu => dispatch!(self, loops::leaky_relu(values)),
            PostOp::Gelu => dispatch!(self, loops::gelu(values)),
            PostOp::Silu => dispatch!(self, loops::silu(values)),
        }
    }

    pub(crate) fn silu_with_bias(self, values: &mut [f32], bias: &[f32]) {
        dispatch!(self, loops::silu_with_bias(values, bias));
    }

    pub(crate) fn gated_linear_unit(self, x: &[f32], out: &mut [f32]) {
        dispatch!(self, loops::gated_linear_unit(x, out));
    }

    pub(crate) fn weigh_taps(
        self,
        x: &[f32],
        starts: &[usize],
        weights: &[f32],
        bias: &[f32],
        out: &mut [f32],
    ) {
        dispatch!(self, loops::weigh_taps(x, starts, weights, bias, out));
    }

    /// Applies ReLU and returns the maximum of the results.
    pub(crate) fn relu_with_max(self, values: &mut [f32]) -> f32 {
        dispatch!(self, loops::relu_with_max(values))
    }

    pub(crate) fn layer_norm(
        self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
        out: &mut [f32],
    ) {
        dispatch!(self, loops::layer_norm(x, gamma, beta, epsilon, out));
    }

    pub(crate) fn exponentials(self, row: &mut [f32], scale: f32) -> f32 {
        dispatch!(self, loops::exponentials(row, scale))
    }

    /// Computes [`Self::exponentials`], rounds them to `out`, and returns their sum before
    /// rounding. Leaves `row` undefined.
    pub(crate) fn exponentials_to_bf16(self, row: &mut [f32], scale: f32, out: &mut [u16]) -> f32 {
        assert_eq!(row.len(), out.len(), "exponentials");
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                // SAFETY: the CPU has AVX-512 with BF16, and `out` is as long as `row`.
                unsafe { avx512::exponentials_to_bf16(row, scale, out) }
            }
            _ => {
                let sum = self.exponentials(row, scale);
                self.round_to_bf16(row, out);
                sum
            }
        }
    }

    pub(crate) fn round_to_bf16(self, x: &[f32], out: &mut [u16]) {
        dispatch!(self, loops::round_to_bf16(x, out));
    }

    /// Computes `max(x * scale + shift, 0)`.
    pub(crate) fn normalize(self, x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        dispatch!(self, loops::normalize(x, scale, shift, out));
    }

    /// Rounds `max(x * scale + shift, 0)` to bfloat16.
    pub(crate) fn normalize_to_bf16(
        self,
        x: &[f32],
        scale: &[f32],
        shift: &[f32],
        out: &mut [u16],
    ) {
        dispatch!(self, loops::normalize_to_bf16(x, scale, shift, out));
    }

    /// Packs up to 16 rows of `inputs` numbers into 16 columns of a bfloat16 panel, and returns
    /// `true`. Returns `false` if the instruction set has no kernel for this.
    pub(crate) fn transpose_to_bf16(self, x: Rows<'_>, inputs: usize, panel: &mut [u16]) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                assert!(x.count <= 16 && x.holds(inputs) && inputs > 0);
                assert!(panel.len() >= 2 * layout::PANEL * (inputs.div_ceil(2) - 1) + 32);
                // SAFETY: the CPU has AVX-512 with BF16, and the slices are long enough.
                unsafe { avx512::transpose_to_bf16(x, inputs, panel) };
                true
            }
            _ => {
                let _ = (x, inputs, panel);
                false
            }
        }
    }

    /// Rounds two rows and interleaves them, and returns `true`. Returns `false` if the instruction
    /// set has no kernel for this. Prefetches the numbers that follow `ahead` later in memory.
    pub(crate) fn interleave_to_bf16(
        self,
        a: &[f32],
        b: &[f32],
        ahead: usize,
        out: &mut [u16],
    ) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                assert!(a.len() == b.len() && out.len() >= 2 * a.len(), "pairs");
                // SAFETY: the CPU has AVX-512 with BF16, and the slices are long enough.
                unsafe { avx512::interleave_to_bf16(a, b, ahead, out) };
                true
            }
            _ => {
                let _ = (a, b, ahead, out);
                false
            }
        }
    }

    pub(crate) fn dot_rows(self, x: &[f32], rows: &[f32], dots: &mut [f32]) {
        dispatch!(self, loops::dot_rows(x, rows, dots));
    }

    pub(crate) fn column_statistics(self, rows: &[f32], mean: &mut [f32], scale: &mut [f32]) {
        dispatch!(self, loops::column_statistics(rows, mean, scale));
    }

    pub(crate) fn column_moments(self, rows: &[f32], mean: &mut [f32], variance: &mut [f32]) {
        dispatch!(self, loops::column_moments(rows, mean, variance));
    }

    pub(crate) fn scale_columns(
        self,
        rows: &mut [f32],
        mean: &[f32],
        scale: &[f32],
        offset: &[f32],
        slope: f32,
    ) {
        dispatch!(self, loops::scale_columns(rows, mean, scale, offset, slope));
    }

    pub(crate) fn max_pool(self, x: &[f32], channels: usize, window: usize, out: &mut [f32]) {
        dispatch!(self, loops::max_pool(x, channels, window, out));
    }

    pub(crate) fn max_pool_magnitudes(
        self,
        x: &[f32],
        scale: f32,
        offsets: &[f32],
        window: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        dispatch!(self, loops::max_pool_magnitudes(x, scale, offsets, window, out, out_stride));
    }

    pub(crate) fn fold_rows(
        self,
        samples: &[f32],
        stride: usize,
        sums: &mut [f32],
        differences: &mut [f32],
        half: usize,
    ) {
        dispatch!(self, loops::fold_rows(samples, stride, sums, differences, half));
    }

    pub(crate) fn moments(self, x: &[f32], origin: f32) -> (f32, f32) {
        dispatch!(self, loops::moments(x, origin))
    }

    pub(crate) fn add_medians(
        self,
        row: &[f32],
        mean: &[f32],
        scale: &[f32],
        padded: &mut [f32],
        sum: &mut [f32],
    ) {
        dispatch!(self, loops::add_medians(row, mean, scale, padded, sum));
    }

    pub(crate) fn mix_rows(self, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        dispatch!(self, loops::mix_rows(weights, rows, out));
    }

    pub(crate) fn maximum(self, x: &[f32]) -> f32 {
        dispatch!(self, loops::maximum(x))
    }

    pub(crate) fn sum_exp(self, x: &[f32], max: f32, scale: f32) -> f32 {
        dispatch!(self, loops::sum_exp(x, max, scale))
    }

    pub(crate) fn weigh_rows(self, x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        dispatch!(self, loops::weigh_rows(x, stride, weights, out));
    }

    pub(crate) fn convolve_rows(self, x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                // SAFETY: the CPU has AVX-512.
                unsafe { avx512::convolve_rows_fast(x, stride, weights, out) }
            }
            _ => dispatch!(self, loops::convolve_rows(x, stride, weights, out)),
        }
    }

    pub(crate) fn add(self, x: &[f32], out: &mut [f32]) {
        dispatch!(self, loops::add(x, out));
    }

    /// Returns the minimum and maximum of the values and zero.
    pub(crate) fn min_max(self, x: &[f32]) -> (f32, f32) {
        dispatch!(self, loops::min_max(x))
    }

    pub(crate) fn quantize_symmetric(self, x: &[f32], quantized: &mut [u8]) -> f32 {
        dispatch!(self, loops::quantize_symmetric(x, quantized))
    }

    pub(crate) fn quantize_affine(self, x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
        assert_eq!(x.len(), out.len(), "quantization");
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                // SAFETY: the CPU has AVX-512, and `out` is as long as `x`.
                unsafe { avx512::quantize_affine_fast(x, scale, zero_point, out) }
            }
            _ => dispatch!(self, loops::quantize_affine(x, scale, zero_point, out)),
        }
    }

    pub(crate) fn sum_bytes(self, x: &[u8]) -> i32 {
        dispatch!(self, loops::sum_bytes(x))
    }

    pub(crate) fn lstm_cell(self, gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
        dispatch!(self, loops::lstm_cell(gates, cell, hidden));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_have_names() {
        for &isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()), Ok(isa));
        }
        let error = Isa::named("avx1024").expect_err("unknown instruction set").to_string();
        assert!(error.contains("instruction set `avx1024`; this CPU supports plain"), "{error}");
    }
}
