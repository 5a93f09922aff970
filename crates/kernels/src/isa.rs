//! Dispatch: one safe entry per inner loop, for every instruction set.

#![allow(unsafe_code)]

use std::sync::OnceLock;

use crate::{Finish, float, int8, plain, pointwise};
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
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                return &[Self(Set::Plain), Self(Set::Avx2), Self(Set::Avx512)];
            }
            if avx2 {
                return &[Self(Set::Plain), Self(Set::Avx2)];
            }
        }
        &[Self(Set::Plain)]
    }

    /// For people.
    pub(crate) fn name(self) -> String {
        format!("{:?}", self.0)
    }

    pub(crate) fn float_panel(self, tile: float::Tile<'_>, out: &mut [f32]) {
        tile.check(out);
        dispatch!(self, plain::float_panel, float_panel, (tile, out));
    }

    pub(crate) fn int8_panel(self, tile: int8::Tile<'_>, out: &mut [f32]) {
        tile.check(out);
        dispatch!(self, plain::int8_panel, int8_panel, (tile, out));
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

    pub(crate) fn weigh_rows(self, x: &[f32], weights: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::weigh_rows, weigh_rows, (x, weights, out));
    }

    pub(crate) fn add(self, x: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::add_all, add_all, (x, out));
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
            x: &[f32], weights: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, add_all(x: &[f32], out: &mut [f32]));
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
