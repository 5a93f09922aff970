use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{
    floats, last_axis, operator,
    quantize::{Fill, filled},
    with_last_axis,
};

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

impl Fill for LayerNorm {
    fn shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        Ok(inputs[0].shape().into())
    }

    fn fill(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        pointwise::layer_norm(floats(&inputs[0])?, &self.gamma, &self.beta, self.epsilon, out);
        Ok(())
    }

    fn fill_with_min_max(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<(f32, f32)> {
        let x = floats(&inputs[0])?;
        Ok(pointwise::layer_norm_with_min_max(x, &self.gamma, &self.beta, self.epsilon, out))
    }
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        filled(self, inputs)
    }
}

impl TypedOp for LayerNorm {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let width = last_axis(inputs[0])?;
        ensure!(
            width > 0 && self.gamma.len() == width && self.beta.len() == width,
            "width {width}"
        );
        Ok(tvec!(with_last_axis(inputs[0], width)?))
    }
}
