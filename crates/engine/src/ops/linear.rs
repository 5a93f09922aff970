//! Linear layers of f32, bfloat16 or int8 weights.

use kernels::PostOp;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::{bf16_macs, f32_macs, int8_macs},
    pool::{pooled_tensor, recycle},
    support::{floats, last_axis, operator, with_last_axis},
};
use crate::linear;

/// A linear layer. The inputs are `x` and, if `post_op` is [`PostOp::Add`], the residual.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) layer: Arc<linear::Linear>,
    pub(crate) post_op: PostOp,
}

impl PartialEq for Linear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layer, &other.layer) && self.post_op == other.post_op
    }
}

impl Eq for Linear {}

operator!(Linear);

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut out = if self.post_op == PostOp::Add {
            inputs.pop().context("takes a residual")?.into_tensor()
        } else {
            let mut shape: TVec<usize> = inputs[0].shape().into();
            *shape.last_mut().context("takes at least one axis")? = self.layer.outputs();
            pooled_tensor::<f32>(&shape)?
        };
        let x = floats(&inputs[0])?;
        self.layer.apply(x, self.post_op, out.try_as_plain_ram_mut()?.as_slice_mut()?);
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Linear {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let width = last_axis(inputs[0])?;
        ensure!(width == self.layer.inputs(), "{:?} does not take {width} inputs", self.layer);
        let out = with_last_axis(inputs[0], self.layer.outputs())?;
        if self.post_op == PostOp::Add {
            let fits = inputs.len() == 2 && inputs[1].shape == out.shape;
            ensure!(fits, "takes a residual of the shape of the output");
        }
        Ok(tvec!(out))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let count = inputs[0].shape.volume() * self.layer.outputs();
        Ok(match &self.layer {
            layer if layer.is_int8() => int8_macs(count),
            layer if layer.is_bf16() => bf16_macs(count),
            _ => f32_macs(count),
        })
    }
}
