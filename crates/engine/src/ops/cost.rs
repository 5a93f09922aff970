//! Costs of operators in multiply-accumulate operations, and the mark of our operators.

use tract_onnx::tract_core::{internal::*, ops::Cost};

/// Line of [`Op::info`] that marks the operators of this crate.
pub(super) const INFO: &str = "built on kernels";
/// Kind of [`Cost::Custom`] of bfloat16 MACs, a type that tract does not have.
pub(crate) const BF16_MAC: &str = "FMA(bf16)";

/// Returns whether an operator is one of tract's.
pub(crate) fn is_generic(op: &dyn TypedOp) -> bool {
    !op.info().is_ok_and(|info| info.iter().any(|line| line == INFO))
}

/// Returns `count` MACs of f32 for [`TypedOp::cost`].
pub(super) fn f32_macs(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::FMA(f32::datum_type()), count))
}

/// Returns `count` MACs of bfloat16 for [`TypedOp::cost`].
pub(super) fn bf16_macs(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::Custom(true, BF16_MAC.to_owned()), count))
}

/// Returns `count` MACs of int8 for [`TypedOp::cost`].
pub(super) fn int8_macs(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::FMA(i8::datum_type()), count))
}
