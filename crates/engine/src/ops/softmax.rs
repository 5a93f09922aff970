use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{
    floats, operator,
    room::{recycle, room},
};

/// Over the last axis. Unlike tract's it does not depend on where a tensor happens to lie in memory,
/// and its logarithm is finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) log: bool,
}

operator!(Softmax);

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let width = *inputs[0].shape().last().context("takes an axis")?;
        let mut out = room::<f32>(inputs[0].shape())?;
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
