//! The greatest or least values of an axis.

use tract_onnx::tract_core::internal::*;

use super::support::{floats, operator, zeros};

/// The `k` greatest (or least) values of the last axis in order, and their indices. Of equal values
/// the first comes first. Unlike in tract's operator, `k` may depend on the shapes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopK {
    pub(crate) k: TDim,
    pub(crate) largest: bool,
}

operator!(TopK);

impl EvalOp for TopK {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let k = usize::try_from(self.k.eval(context.symbols).to_i64()?)?;
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let length = std::mem::replace(shape.last_mut().context("takes at least one axis")?, k);
        ensure!(k <= length, "{k} values of an axis of {length}");
        let (mut values, mut indices) = (zeros(&shape)?, Tensor::zero::<i64>(&shape)?);
        if k > 0 {
            let (mut values, mut indices) =
                (values.try_as_plain_ram_mut()?, indices.try_as_plain_ram_mut()?);
            let rows = floats(&inputs[0])?.chunks_exact(length);
            let values = values.as_slice_mut::<f32>()?.chunks_exact_mut(k);
            let indices = indices.as_slice_mut::<i64>()?.chunks_exact_mut(k);
            let mut order: Vec<usize> = Vec::with_capacity(length);
            for (row, (values, indices)) in rows.zip(values.zip(indices)) {
                order.clear();
                order.extend(0..length);
                order.sort_by(|&a, &b| {
                    let order = row[a].total_cmp(&row[b]);
                    if self.largest { order.reverse() } else { order }
                });
                for (&from, (value, index)) in order.iter().zip(values.iter_mut().zip(indices)) {
                    (*value, *index) = (row[from], from as i64);
                }
            }
        }
        Ok(tvec!(values.into_tvalue(), indices.into_tvalue()))
    }
}

impl TypedOp for TopK {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type(), "takes f32");
        let mut shape = inputs[0].shape.to_tvec();
        *shape.last_mut().context("takes at least one axis")? = self.k.clone();
        Ok(tvec!(f32::fact(&*shape), i64::fact(&*shape)))
    }
}
