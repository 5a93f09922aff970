use kernels::pointwise;
use tract_onnx::tract_core::{internal::*, ops::binary::TypedBinOp, ops::math::Add};

use super::{floats, operator, room::recycle};

/// `a + b` of the same shape, in place of one of them where nobody else needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum;

operator!(Sum);

impl Sum {
    /// In the place of tract's, where shapes are the same.
    pub(crate) fn replace(
        model: &TypedModel,
        node: &TypedNode,
        op: &TypedBinOp,
    ) -> TractResult<Option<TypedModelPatch>> {
        let facts = model.node_input_facts(node.id)?;
        let float = |fact: &&TypedFact| fact.datum_type == f32::datum_type();
        let computed = |fact: &&TypedFact| fact.konst.is_none() && fact.rank() > 0;
        let same = facts.iter().all(float) && facts[0].shape == facts[1].shape;
        // What tract multiplies it may add to by itself.
        let product = |outlet: &OutletId| {
            let producer = &model.node(outlet.node).op;
            producer.is::<tract_onnx::tract_core::ops::einsum::EinSum>()
        };
        if !op.0.is::<Add>()
            || !same
            || !facts.iter().all(computed)
            || node.inputs.iter().any(product)
            || node.inputs[0] == node.inputs[1]
        {
            return Ok(None);
        }
        TypedModelPatch::replace_single_op(model, node, &node.inputs, Self).map(Some)
    }
}

impl EvalOp for Sum {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (Some(b), Some(a)) = (inputs.pop(), inputs.pop()) else { bail!("takes two") };
        ensure!(a.shape() == b.shape(), "{:?} and {:?}", a.shape(), b.shape());
        let mut out = a.into_tensor();
        pointwise::add(floats(&b)?, out.try_as_plain_ram_mut()?.as_slice_mut()?);
        recycle(tvec!(b));
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Sum {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 2 && inputs[0].shape == inputs[1].shape, "takes two of a shape");
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}
