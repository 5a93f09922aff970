use kernels::attention::Memory;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{float_products, floats, last_axis, operator, with_last_axis, zeros};

/// Multi-head attention of every position to all, without a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelfAttention {
    pub(crate) heads: usize,
}

operator!(SelfAttention);

impl EvalOp for SelfAttention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, stride] = inputs[0].shape() else { bail!("takes [time, 3 * width]") };
        let qkv = floats(&inputs[0])?;
        let width = stride / 3;
        let head_width = width / self.heads;
        let mut out = zeros(&[time, width])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        if time > 0 {
            for first in (0..width).step_by(head_width) {
                let (keys, rest) = (&qkv[width + first..], &qkv[2 * width + first..]);
                let memory = Memory::pack(keys, rest, stride, time, head_width);
                memory.attend(&qkv[first..], stride, time, &mut values[first..], width);
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for SelfAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let stride = last_axis(inputs[0])?;
        ensure!(inputs[0].rank() == 2 && self.heads > 0, "takes [time, 3 * width]");
        ensure!(stride > 0 && stride % (3 * self.heads) == 0, "{} heads of {stride}", self.heads);
        Ok(tvec!(with_last_axis(inputs[0], stride / 3)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let time = inputs[0].shape[0].clone();
        Ok(float_products(inputs[0].shape.volume() * time * 2 / 3))
    }
}
