//! Layer normalization.

use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{
    compute_into::{self, ComputeInto},
    support::{floats, last_axis, operator, with_last_axis},
};

/// Layer normalization over the last axis.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub(crate) gamma: Arc<[f32]>,
    pub(crate) beta: Arc<[f32]>,
    pub(crate) epsilon: f32,
}

impl PartialEq for LayerNorm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gamma, &other.gamma) && Arc::ptr_eq(&self.beta, &other.beta)
    }
}

impl Eq for LayerNorm {}

operator!(LayerNorm);

impl ComputeInto for LayerNorm {
    fn output_shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        Ok(inputs[0].shape().into())
    }

    fn compute_into(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        pointwise::layer_norm(floats(&inputs[0])?, &self.gamma, &self.beta, self.epsilon, out);
        Ok(())
    }

    fn compute_into_with_min_max(
        &self,
        inputs: &[TValue],
        out: &mut [f32],
    ) -> TractResult<(f32, f32)> {
        let x = floats(&inputs[0])?;
        Ok(pointwise::layer_norm_with_min_max(x, &self.gamma, &self.beta, self.epsilon, out))
    }
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        compute_into::eval(self, inputs)
    }
}

impl TypedOp for LayerNorm {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let width = last_axis(inputs[0])?;
        let (gamma, beta) = (self.gamma.len(), self.beta.len());
        ensure!(
            width > 0 && gamma == width && beta == width,
            "{gamma} factors and {beta} offsets do not fit {width} columns"
        );
        Ok(tvec!(with_last_axis(inputs[0], width)?))
    }
}
