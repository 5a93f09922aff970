//! The epilogue of a GEMM.

/// Operations applied while the results of a GEMM are stored: `out = post_op(gemm + bias)`, or
/// `out += gemm + bias` for [`PostOp::Add`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One number per output column.
    pub bias: Option<&'a [f32]>,
    pub post_op: PostOp,
}

/// Last operation of an epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PostOp {
    #[default]
    None,
    Relu,
    /// Multiplies negative numbers by [`LEAKY_SLOPE`].
    LeakyRelu,
    /// Exact GELU, x Φ(x), computed with the error function.
    Gelu,
    /// SiLU or Swish, x σ(x).
    Silu,
    /// Adds to the previous values of the output: a residual connection in place.
    Add,
}

/// Slope of [`PostOp::LeakyRelu`] below zero, PyTorch's default.
pub const LEAKY_SLOPE: f32 = 0.01;
