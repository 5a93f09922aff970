//! Weights of operators that pack them.

use tract_onnx::tract_core::internal::*;

use super::support::operator;

/// Weights that an operator packs while the graph is built, after which this node is gone. They are
/// not a constant of tract, which would read and compare their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LazyWeights(pub(crate) Arc<Tensor>);

operator!(LazyWeights);

impl EvalOp for LazyWeights {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.0.clone().into_tvalue()))
    }
}

impl TypedOp for LazyWeights {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(self.0.datum_type(), self.0.shape())))
    }
}
