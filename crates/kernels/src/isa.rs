//! Dispatch: one safe entry per inner loop, for every instruction set.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::neon;
use crate::{
    PostOp, bf16, float, int8,
    layout::{self, Layout},
    plain, pointwise,
    rows::Rows,
};
#[cfg(target_arch = "x86_64")]
use crate::{avx_vnni, avx2, avx512};

/// Instruction sets that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Rust without intrinsics, on every machine: the reference.
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

/// The requested instruction set is unknown, or this CPU does not support it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown or unsupported instruction set `{requested}`; this CPU supports {}",
    supported.join(", ")
)]
pub struct UnsupportedInstructionSet {
    pub requested: String,
    pub supported: Vec<&'static str>,
}

/// The instruction set in use, once it is chosen.
static IN_USE: OnceLock<Isa> = OnceLock::new();

/// Selects the instruction set that the kernels of this process use, and returns its name, as in
/// "avx512 and bf16". `None` selects the best one that the CPU supports, as happens without a call.
///
/// Call it before anything computes: weights are packed for the instruction set in use, so that it
/// cannot change later. A later call has no effect and returns the set in use.
///
/// # Errors
/// If `requested` names an instruction set that is unknown or that this CPU does not support.
pub fn select_instruction_sets(
    requested: Option<&str>,
) -> Result<&'static str, UnsupportedInstructionSet> {
    let isa = requested.map_or_else(|| Ok(Isa::most_capable()), Isa::named)?;
    let isa = *IN_USE.get_or_init(|| isa);
    Ok(match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 if isa.multiplies_bf16() => "avx512 and bf16",
        #[cfg(target_arch = "aarch64")]
        Set::I8mm if isa.multiplies_bf16() => "i8mm and bf16",
        _ => isa.name(),
    })
}

/// Calls the loop of the set. The unsafe calls are sound because only [`Isa::available`] makes an
/// `Isa`, and it makes none that the machine has not.
macro_rules! dispatch {
    ($isa:expr, $plain:path, $name:ident, ($($argument:expr),*)) => {
        match $isa.0 {
            Set::Plain => $plain($($argument),*),
            // SAFETY: see above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::AvxVnni => unsafe { avx2::$name($($argument),*) },
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
    /// Returns the instruction set in use: the selected one, or the best that the CPU supports.
    pub(crate) fn best() -> Self {
        *IN_USE.get_or_init(Self::most_capable)
    }

    fn most_capable() -> Self {
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

    /// All that this machine has, from plain to best.
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
            sets.into_iter().filter(|(_, there)| *there).map(|(set, _)| Self(set)).collect()
        })
    }

    /// How 8-bit operands lie for its kernels.
    pub(crate) fn layout(self) -> &'static Layout {
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
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { avx_vnni::int8_panel(tile, out) },
            // SAFETY: as above.
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

    pub(crate) fn activate(self, values: &mut [f32], post_op: PostOp) {
        match post_op {
            PostOp::None | PostOp::Add => {}
            PostOp::Relu => dispatch!(self, pointwise::relu_all, relu_all, (values)),
            PostOp::Gelu => dispatch!(self, pointwise::gelu_all, gelu_all, (values)),
        }
    }

    /// [`PostOp::Relu`]; returns the greatest of what is left.
    pub(crate) fn relu_with_greatest(self, values: &mut [f32]) -> f32 {
        dispatch!(self, pointwise::relu_with_greatest, relu_with_greatest, (values))
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

    /// Packs up to 16 rows of `inputs` numbers into 16 columns of a panel of bfloat16; `false` if
    /// this instruction set does it another way.
    pub(crate) fn turn_to_bf16(self, x: Rows<'_>, inputs: usize, panel: &mut [u16]) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                assert!(x.count <= 16 && x.holds(inputs) && inputs > 0);
                assert!(panel.len() >= 2 * crate::PANEL * (inputs.div_ceil(2) - 1) + 32);
                // SAFETY: the machine has what was asked for, and the slices are long enough.
                unsafe { avx512::turn_to_bf16(x.values, x.stride, x.count, inputs, panel) };
                true
            }
            _ => {
                let _ = (x, inputs, panel);
                false
            }
        }
    }

    /// Rounds two rows into one of pairs; `false` if this instruction set does it another way. What
    /// lies `ahead` of them is wanted soon.
    pub(crate) fn pair_in_bf16(self, a: &[f32], b: &[f32], ahead: usize, out: &mut [u16]) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if self.multiplies_bf16() => {
                assert!(a.len() == b.len() && out.len() >= 2 * a.len(), "pairs");
                // SAFETY: the machine has what was asked for, and the slices are long enough.
                unsafe { avx512::pair_in_bf16(a, b, ahead, out) };
                true
            }
            _ => {
                let _ = (a, b, ahead, out);
                false
            }
        }
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

    pub(crate) fn dot_rows(self, x: &[f32], rows: &[f32], dots: &mut [f32]) {
        dispatch!(self, pointwise::dot_rows, dot_rows, (x, rows, dots));
    }

    pub(crate) fn mix_rows(self, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::mix_rows, mix_rows, (weights, rows, out));
    }

    pub(crate) fn maximum(self, x: &[f32]) -> f32 {
        dispatch!(self, pointwise::maximum_of, maximum_of, (x))
    }

    pub(crate) fn sum_exp(self, x: &[f32], largest: f32, scale: f32) -> f32 {
        dispatch!(self, pointwise::sum_exp_of, sum_exp_of, (x, largest, scale))
    }

    pub(crate) fn weigh_rows(self, x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::weigh_rows, weigh_rows, (x, stride, weights, out));
    }

    pub(crate) fn filter_rows(self, x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::filter_rows_fast(x, stride, weights, out) },
            _ => dispatch!(self, pointwise::filter_rows, filter_rows, (x, stride, weights, out)),
        }
    }

    pub(crate) fn add(self, x: &[f32], out: &mut [f32]) {
        dispatch!(self, pointwise::add_all, add_all, (x, out));
    }

    pub(crate) fn round_to_bf16(self, x: &[f32], out: &mut [u16]) {
        dispatch!(self, pointwise::round_to_bf16, round_to_bf16, (x, out));
    }

    /// The least and the greatest of the values and zero.
    pub(crate) fn min_max(self, x: &[f32]) -> (f32, f32) {
        dispatch!(self, pointwise::min_max_row, min_max_row, (x))
    }

    pub(crate) fn quantize_around(self, x: &[f32], scale: f32, zero_point: u8, out: &mut [u8]) {
        assert_eq!(x.len(), out.len(), "quantization");
        match self.0 {
            // SAFETY: the machine has what was asked for.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::quantize_fast(x, scale, zero_point, out) },
            _ => {
                dispatch!(
                    self,
                    pointwise::quantize_around,
                    quantize_around,
                    (x, scale, zero_point, out)
                );
            }
        }
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

/// Calls a loop for as many rows as are left, six at the most: their number is a constant of it, so
/// that their sums stay in registers.
#[cfg(target_arch = "x86_64")]
macro_rules! up_to_six {
    ($left:expr, $rows:ident($($argument:expr),*)) => {
        match $left {
            1 => $rows::<1>($($argument),*),
            2 => $rows::<2>($($argument),*),
            3 => $rows::<3>($($argument),*),
            4 => $rows::<4>($($argument),*),
            5 => $rows::<5>($($argument),*),
            _ => $rows::<6>($($argument),*),
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use up_to_six;

/// Compiles the loops of [`pointwise`] for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! compile_pointwise {
    ($features:literal) => {
        crate::isa::compile_pointwise!(@ $features, relu_all(values: &mut [f32]));
        crate::isa::compile_pointwise!(
            @ $features, relu_with_greatest(values: &mut [f32]) -> f32);
        crate::isa::compile_pointwise!(@ $features, gelu_all(values: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, layer_norm_row(
            x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]));
        crate::isa::compile_pointwise!(
            @ $features, exponentials_row(row: &mut [f32], scale: f32) -> f32);
        crate::isa::compile_pointwise!(@ $features, dot_rows(
            x: &[f32], rows: &[f32], dots: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, mix_rows(
            weights: &[f32], rows: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, maximum_of(x: &[f32]) -> f32);
        crate::isa::compile_pointwise!(
            @ $features, sum_exp_of(x: &[f32], largest: f32, scale: f32) -> f32);
        crate::isa::compile_pointwise!(
            @ $features, quantize_row(x: &[f32], quantized: &mut [u8]) -> f32);
        crate::isa::compile_pointwise!(@ $features, weigh_rows(
            x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, filter_rows(
            x: &[f32], stride: usize, weights: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, add_all(x: &[f32], out: &mut [f32]));
        crate::isa::compile_pointwise!(@ $features, round_to_bf16(x: &[f32], out: &mut [u16]));
        crate::isa::compile_pointwise!(@ $features, min_max_row(x: &[f32]) -> (f32, f32));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_names() {
        for &isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()), Ok(isa));
        }
        let error = Isa::named("avx1024").expect_err("no such set").to_string();
        assert!(error.contains("instruction set `avx1024`; this CPU supports plain"), "{error}");
    }
}
