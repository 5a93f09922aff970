//! Softmax and its logarithm.

use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{
    pool::{pooled_tensor, recycle},
    support::{floats, operator},
};

/// Softmax over the last axis, or its logarithm. Unlike tract's, the result does not depend on the
/// alignment of the tensor, and the logarithm is finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) log: bool,
}

operator!(Softmax);

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let width = *inputs[0].shape().last().context("takes at least one axis")?;
        let mut out = pooled_tensor::<f32>(inputs[0].shape())?;
        let mut view = out.try_as_plain_ram_mut()?;
        let softmax = if self.log { pointwise::log_softmax } else { pointwise::softmax };
        if width > 0 {
            softmax(floats(&inputs[0])?, width, view.as_slice_mut()?);
        }
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Softmax {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type() && inputs[0].rank() > 0);
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}
