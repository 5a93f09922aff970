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
    /// Exact GELU, x Φ(x), computed with the error function.
    Gelu,
    /// Adds to the previous values of the output: a residual connection in place.
    Add,
}
