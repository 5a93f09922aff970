use kernels::attention::Memory;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{float_products, floats, last_axis, operator, zeros};

/// Multi-head attention without a mask: queries `[batch, rows, width]`, keys and values
/// `[batch, length, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
}

operator!(Attention);

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[batch, rows, width] = inputs[0].shape() else { bail!("takes [batch, rows, width]") };
        let length = inputs[1].shape()[1];
        ensure!(inputs[1].shape() == [batch, length, width], "keys {:?}", inputs[1].shape());
        ensure!(inputs[2].shape() == [batch, length, width], "values {:?}", inputs[2].shape());
        let head_width = width / self.heads;
        let mut out = zeros(inputs[0].shape())?;
        if rows > 0 && length > 0 {
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(rows * width);
            let queries = floats(&inputs[0])?.chunks_exact(rows * width);
            let keys = floats(&inputs[1])?.chunks_exact(length * width);
            let values = floats(&inputs[2])?.chunks_exact(length * width);
            for (((out, queries), keys), values) in outs.zip(queries).zip(keys).zip(values) {
                for first in (0..width).step_by(head_width) {
                    let (keys, values) = (&keys[first..], &values[first..]);
                    let memory = Memory::pack(keys, values, width, length, head_width);
                    memory.attend(&queries[first..], width, rows, &mut out[first..], width);
                }
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Attention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 3 && inputs.iter().all(|fact| fact.rank() == 3), "takes q, k, v");
        let width = last_axis(inputs[0])?;
        ensure!(self.heads > 0 && width > 0 && width % self.heads == 0, "{} heads", self.heads);
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(float_products(inputs[0].shape.volume() * &inputs[1].shape[1] * 2))
    }
}
