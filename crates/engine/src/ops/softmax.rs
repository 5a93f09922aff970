use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{floats, last_axis, operator, zeros};

/// Over the last axis; unlike the logarithm of tract's softmax, finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSoftmax;

operator!(LogSoftmax);

impl EvalOp for LogSoftmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let width = *inputs[0].shape().last().context("takes an axis")?;
        let mut out = zeros(inputs[0].shape())?;
        let values = floats(&inputs[0])?;
        pointwise::log_softmax(values, width, out.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for LogSoftmax {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type() && last_axis(inputs[0])? > 0);
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}
