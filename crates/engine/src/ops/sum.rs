//! Addition in place.

use kernels::pointwise;
use tract_onnx::tract_core::internal::*;

use super::{
    pool::recycle,
    support::{floats, operator},
};

/// `a + b` of the same shape, in place of `a` if nothing else uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum;

operator!(Sum);

impl EvalOp for Sum {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (Some(b), Some(a)) = (inputs.pop(), inputs.pop()) else { bail!("takes two inputs") };
        ensure!(a.shape() == b.shape(), "shapes {:?} and {:?} differ", a.shape(), b.shape());
        let mut out = a.into_tensor();
        pointwise::add(floats(&b)?, out.try_as_plain_ram_mut()?.as_slice_mut()?);
        recycle(tvec!(b));
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Sum {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(
            inputs.len() == 2 && inputs[0].shape == inputs[1].shape,
            "takes two inputs of the same shape"
        );
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}
