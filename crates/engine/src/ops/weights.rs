use tract_onnx::tract_core::internal::*;

use super::operator;

/// Weights that whoever takes them packs when the graph is made; then they are gone. They are not
/// constant to tract, which would read and compare them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights(pub(crate) Arc<Tensor>);

operator!(Weights);

impl EvalOp for Weights {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.0.clone().into_tvalue()))
    }
}

impl TypedOp for Weights {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(self.0.datum_type(), self.0.shape())))
    }
}
