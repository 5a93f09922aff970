//! Dispatch: one safe entry per inner loop, for every instruction set.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::neon;
use crate::{
    Finish, bf16, float, int8,
    layout::{self, Layout},
    plain, pointwise,
};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// Instruction sets that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    /// Rust without intrinsics, on every machine: the reference.
    Plain,
    /// AVX2 and FMA (x86-64-v3).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// What every aarch64 has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with products of four bytes each (Neoverse N1, Cortex-A76 and later).
    #[cfg(target_arch = "aarch64")]
    DotProd,
    /// NEON with products of 8-bit matrices (Neoverse N2, V1 and later).
    #[cfg(target_arch = "aarch64")]
    I8mm,
}

/// Calls the loop of the set. The unsafe calls are sound because only [`Isa::available`] makes an
/// `Isa`, and it makes none that the machine has not.
macro_rules! dispatch {
    ($isa:expr, $plain:path, $name:ident, ($($argument:expr),*)) => {
        match $isa.0 {
            Set::Plain => $plain($($argument),*),
            // SAFETY: see above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2::$name($($argument),*) },
            // SAFETY: see above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::$name($($argument),*) },
            // Rust without intrinsics is compiled for NEON as it is.
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::DotProd | Set::I8mm => $plain($($argument),*),
        }
    };
}

impl Isa {
    /// The best this machine has.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(Self(Set::Plain)))
    }

    /// All that this machine has, from plain to best.
    pub(crate) fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let sets = [
                (Set::Plain, true),
                #[cfg(target_arch = "x86_64")]
                (Set::Avx2, is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
                #[cfg(target_arch = "x86_64")]
                (
                    Set::Avx512,
                    is_x86_feature_detected!("avx512f")
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
            sets.into_iter().filter(|(_, there)| *there).map(|(set, _)| Self(set)).collect()
        })
    }

    /// How 8-bit operands lie for its kernels.
    pub(crate) fn layout(self) -> &'static Layout {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => &avx2::LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => &neon::LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::DotProd => &neon::DOTPROD_LAYOUT,
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => &neon::I8MM_LAYOUT,
            _ => &layout::QUADS,
        }
    }

    /// How bfloat16 operands lie for its kernels.
    pub(crate) fn bf16_layout(self) -> &'static Layout {
        match self.0 {
            #[cfg(target_arch = "aarch64")]
            Set::I8mm if self.multiplies_bf16() => &neon::BF16_LAYOUT,
            _ => &layout::PAIRS,
        }
    }

    pub(crate) fn float_panel(self, tile: float::Tile<'_>, out: &mut [f32]) {
        tile.check(out);
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::DotProd | Set::I8mm => unsafe { neon::float_panel(tile, out) },
            _ => dispatch!(self, plain::float_panel, float_panel, (tile, out)),
        }
    }

    /// Whether it has products of bfloat16, and is no slower with them than with f32.
    pub(crate) fn multiplies_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => is_aarch64_feature_detected!("bf16"),
            _ => false,
        }
    }

    pub(crate) fn bf16_panel(self, tile: bf16::Tile<'_>, out: &mut [f32]) {
        tile.check(self.bf16_layout(), out);
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => unsafe { avx512::bf16_panel(tile, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::I8mm if self.multiplies_bf16() => unsafe { neon::bf16_panel_bfmmla(tile, out) },
            _ => dispatch!(self, plain::bf16_panel, bf16_panel_in_f32, (tile, out)),
        }
    }

    pub(crate) fn int8_panel(self, tile: int8::Tile<'_>, out: &mut [f32]) {
        tile.check(self.layout(), out);
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::int8_panel(tile, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::DotProd => unsafe { neon::int8_panel_dotprod(tile, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::I8mm => unsafe { neon::int8_panel_i8mm(tile, out) },
            _ => dispatch!(self, plain::int8_panel, int8_panel, (tile, out)),
        }
    }

    pub(crate) fn activate(self, values: &mut [f32], finish: Finish) {
        match finish {
            Finish::Store | Finish::Add => {}
            Finish::Relu => dispatch!(self, pointwise::relu_all, relu_all, (values)),
            Finish::Gelu => dispatch!(self, pointwise::gelu_all, gelu_all, (values)),
        }
    }

    pub(crate) fn layer_norm(
        self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
        out: &mut [f32],
    ) {
        dispatch!(self, pointwise::layer_norm_row, layer_norm_row, (x, gamma, beta, epsilon, out));
    }

    pub(crate) fn exponentials(self, row: &mut [f32], scale: f32) -> f32 {
        dispatch!(self, pointwise::exponentials_row, exponentials_row, (row, scale))
    }

    /// As [`Self::exponentials`], rounded into `out`; what is in `row` then is not defined.
    pub(crate) fn exponentials_in_bf16(self, row: &mut [f32], scale: f32, out: &mut [u16]) -> f32 {
        assert_eq!(row.len(), out.len(), "exponentials");
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => unsafe {
                avx512::exponentials_in_bf16(row, scale, out)
            },
            _ => {
                let sum = self.exponentials(row, scale);
                self.round_to_bf16(row, out);
                sum
            }
        }
    }

    pub(crate) fn weigh_rows(self, x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::weigh_rows, weigh_rows, (x, stride, weights, out));
    }

    pub(crate) fn add(self, x: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::add_all, add_all, (x, out));
    }

    pub(crate) fn round_to_bf16(self, x: &[f32], out: &mut [u16]) {
        dispatch!(self, pointwise::round_to_bf16, round_to_bf16, (x, out));
    }

    /// The least and the greatest of the values and zero.
    pub(crate) fn extremes(self, x: &[f32]) -> (f32, f32) {
        dispatch!(self, pointwise::extremes_row, extremes_row, (x))
    }

    pub(crate) fn quantize_around(self, x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
        dispatch!(self, pointwise::quantize_around, quantize_around, (x, scale, zero_point, out));
    }

    pub(crate) fn sum(self, x: &[u8]) -> i32 {
        dispatch!(self, pointwise::sum_row, sum_row, (x))
    }

    pub(crate) fn lstm_cell(self, gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
        dispatch!(self, pointwise::lstm_cell, lstm_cell, (gates, cell, hidden));
    }

    pub(crate) fn quantize(self, x: &[f32], quantized: &mut [u8]) -> f32 {
        dispatch!(self, pointwise::quantize_row, quantize_row, (x, quantized))
    }
}

/// Compiles the loops of [`pointwise`] for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! compile_pointwise {
    ($features:literal) => {
        crate::isa::compile_pointwise!(@ $features, relu_all(values: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, gelu_all(values: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, layer_norm_row(
            x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]));
        crate::isa::compile_pointwise!(
            @ $features, exponentials_row(row: &mut [f32], scale: f32) -> f32);
        crate::isa::compile_pointwise!(
            @ $features, quantize_row(x: &[f32], quantized: &mut [u8]) -> f32);
        crate::isa::compile_pointwise!(@ $features, weigh_rows(
            x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, add_all(x: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, round_to_bf16(x: &[f32], out: &mut [u16]));
        crate::isa::compile_pointwise!(@ $features, extremes_row(x: &[f32]) -> (f32, f32));
        crate::isa::compile_pointwise!(@ $features, quantize_around(
            x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]));
        crate::isa::compile_pointwise!(@ $features, sum_row(x: &[u8]) -> i32);
        crate::isa::compile_pointwise!(@ $features, lstm_cell(
            gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]));
    };
    (@ $features:literal, $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?) => {
        #[target_feature(enable = $features)]
        pub(crate) fn $name($($argument: $kind),*) $(-> $result)? {
            crate::pointwise::$name($($argument),*)
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use compile_pointwise;
