//! Truncation of an axis.

use tract_onnx::tract_core::internal::*;

use super::support::operator;

/// Truncates an axis to its first `length` items, if it is longer. ONNX's `Slice` clamps its end to
/// the axis; tract's does so only if it knows the length of the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truncate {
    pub(crate) axis: usize,
    pub(crate) length: usize,
}

operator!(Truncate);

impl EvalOp for Truncate {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let length = inputs[0].shape().get(self.axis).context("the axis does not exist")?;
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
        ensure!(self.axis < fact.rank(), "axis {} does not exist", self.axis);
        let length = fact.shape[self.axis].clone();
        fact.shape.set(self.axis, at_most(length, self.length));
        Ok(tvec!(fact))
    }
}

/// Returns the lesser of a symbolic `length` and `limit`.
pub(crate) fn at_most(length: TDim, limit: usize) -> TDim {
    TDim::Min(vec![length, limit.to_dim()]).simplify()
}
