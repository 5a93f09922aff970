//! Operators that can write their output to memory of the caller.

use kernels::dynamic;
use tract_onnx::tract_core::internal::*;

use super::pool::{pooled_tensor, recycle};

/// An operator with one f32 output that the caller provides the memory for.
pub(crate) trait ComputeInto {
    /// Returns the shape of the output.
    fn output_shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>>;

    /// Writes every value of `out`, which has as many as [`Self::output_shape`].
    fn compute_into(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()>;

    /// As [`Self::compute_into`]. Returns the minimum and maximum of the output and zero.
    fn compute_into_with_min_max(
        &self,
        inputs: &[TValue],
        out: &mut [f32],
    ) -> TractResult<(f32, f32)> {
        self.compute_into(inputs, out)?;
        Ok(dynamic::min_max(out))
    }
}

/// Evaluates `op` into a tensor.
pub(super) fn eval(op: &impl ComputeInto, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let mut out = pooled_tensor::<f32>(&op.output_shape(&inputs)?)?;
    op.compute_into(&inputs, out.try_as_plain_ram_mut()?.as_slice_mut()?)?;
    recycle(inputs);
    Ok(tvec!(out.into_tvalue()))
}
