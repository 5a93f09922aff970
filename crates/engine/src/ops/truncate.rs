use tract_onnx::tract_core::internal::*;

use super::operator;

/// The first `length` of an axis, or all if there are no more: ONNX's `Slice` cuts its ends to the
/// axis, tract's does only if it knows how long that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truncate {
    pub(crate) axis: usize,
    pub(crate) length: usize,
}

operator!(Truncate);

impl EvalOp for Truncate {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let length = inputs[0].shape().get(self.axis).context("has no such axis")?;
        if *length <= self.length {
            return Ok(inputs);
        }
        Ok(tvec!(inputs[0].slice(self.axis, 0, self.length)?.into_tvalue()))
    }
}

impl TypedOp for Truncate {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut fact = inputs[0].without_value();
        ensure!(self.axis < fact.rank(), "has no axis {}", self.axis);
        let length = fact.shape[self.axis].clone();
        fact.shape.set(self.axis, at_most(length, self.length));
        Ok(tvec!(fact))
    }
}

pub(crate) fn at_most(length: TDim, most: usize) -> TDim {
    TDim::Min(vec![length, most.to_dim()]).simplify()
}
