//! Matrix products and other inner loops: one plain reference, one file per instruction set,
//! dispatch at run time.
//!
//! Matrices are row-major. Weights are packed once, when a model is loaded, into panels of
//! [`PANEL`] columns (see [`float`], [`bf16`], [`int8`] and [`dynamic`]); products then stream panels past blocks of
//! rows.
//! Everything runs on the calling thread.

mod aligned;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
pub mod bf16;
pub mod depthwise;
pub mod dynamic;
pub mod float;
pub mod heap;
pub mod int8;
mod isa;
mod layout;
pub mod lstm;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod peak;
mod plain;
pub mod pointwise;
mod product;
mod rows;
pub mod scores;
#[cfg(test)]
mod tests;

pub use aligned::AlignedBuffer;
use isa::Isa;
pub use isa::{UnsupportedInstructionSet, select_instruction_sets};
pub use rows::Rows;
use rows::end_of_rows;

/// Output columns of one packed panel: four AVX-512 registers of 32-bit numbers.
pub const PANEL: usize = 64;

/// What is done to a product on its way out: `out = activation(product + bias)`, or
/// `out += product + bias`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One number per output column.
    pub bias: Option<&'a [f32]>,
    pub post_op: PostOp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PostOp {
    #[default]
    None,
    Relu,
    /// Exact: x Φ(x), with the error function.
    Gelu,
    /// Adds to what the output holds: a residual connection in place.
    Add,
}
