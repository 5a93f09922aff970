//! Inner loops of speech networks: GEMM, attention, convolution over time, LSTM, and functions of
//! rows. One portable reference, one file per instruction set, dispatch at run time.
//!
//! Matrices are row-major. Weights are packed once, when a model is loaded, into panels of
//! [`PANEL`] output columns (see [`float`], [`bf16`], [`int8`] and [`dynamic`]); a GEMM then
//! multiplies a block of rows by one panel after the other. Everything runs on the calling thread.
//!
//! ```
//! use kernels::{Epilogue, PostOp, float::Weights};
//!
//! // Two inputs, three outputs: `out = relu(x Wᵀ + bias)`.
//! let weights = Weights::pack(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
//! let epilogue = Epilogue { bias: Some(&[0.0, 0.5, -20.0]), post_op: PostOp::Relu };
//! let mut out = [0.0; 3];
//! weights.apply(&[1.0, 1.0], 2, 1, epilogue, &mut out);
//! assert_eq!(out, [3.0, 7.5, 0.0]);
//! ```

mod aligned;
pub mod attention;
pub mod bf16;
pub mod convolution;
pub mod depthwise;
pub mod dynamic;
mod epilogue;
pub mod float;
mod gemm;
pub mod int8;
mod int8_panels;
mod isa;
mod layout;
mod linear;
mod loops;
pub mod lstm;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod peak;
mod plain;
pub mod pointwise;
pub mod pooling;
pub mod relative_attention;
mod rows;
pub mod scores;
pub mod symmetric;
#[cfg(test)]
mod tests;
mod tile;
pub mod token_attention;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use aligned::AlignedBuffer;
pub use epilogue::{Epilogue, LEAKY_SLOPE, PostOp};
pub use isa::{UnsupportedInstructionSet, select_instruction_sets};
pub use layout::PANEL;
pub use linear::PackedWeights;
pub use rows::Rows;
