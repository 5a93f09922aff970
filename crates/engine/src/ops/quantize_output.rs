//! Operators fused with the quantization of their output, which no other operator uses. The f32
//! output stays in a scratch buffer of the thread.

use std::cell::RefCell;

use kernels::{AlignedBuffer, dynamic};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    attention::Attention,
    compute_into::ComputeInto,
    layer_norm::LayerNorm,
    pool::{pooled_tensor, recycle},
    quantized::QuantizedLinear,
};

/// An operator followed by [`super::DynamicQuantize`]: its outputs are quantized values, scale and
/// zero point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QuantizeOutput {
    Norm(LayerNorm),
    Linear(QuantizedLinear),
    Attention(Attention),
}

thread_local! {
    static FLOATS: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

impl QuantizeOutput {
    /// Fuses `op` with the quantization of its output, if that is possible.
    pub(crate) fn fuse(op: &dyn TypedOp) -> Option<Self> {
        let linear = op.downcast_ref::<QuantizedLinear>();
        // With a residual, the output is the residual's tensor.
        let linear = linear.filter(|linear| linear.post_op != kernels::PostOp::Add);
        None.or_else(|| linear.cloned().map(Self::Linear))
            .or_else(|| op.downcast_ref::<LayerNorm>().cloned().map(Self::Norm))
            .or_else(|| op.downcast_ref::<Attention>().cloned().map(Self::Attention))
    }

    fn op(&self) -> &dyn TypedOp {
        match self {
            Self::Norm(op) => op,
            Self::Linear(op) => op,
            Self::Attention(op) => op,
        }
    }

    fn compute(&self) -> &dyn ComputeInto {
        match self {
            Self::Norm(op) => op,
            Self::Linear(op) => op,
            Self::Attention(op) => op,
        }
    }
}

impl Op for QuantizeOutput {
    fn name(&self) -> StaticName {
        format!("{} + DynamicQuantize", self.op().name()).into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.op().info()
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizeOutput {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.compute().output_shape(&inputs)?;
        let mut out = pooled_tensor::<u8>(&shape)?;
        let (scale, zero_point) = FLOATS.with_borrow_mut(|floats| -> TractResult<_> {
            let count = out.len();
            floats.grow(count);
            let floats = &mut floats[..count];
            let min_max = self.compute().compute_into_with_min_max(&inputs, floats)?;
            let mut view = out.try_as_plain_ram_mut()?;
            Ok(dynamic::quantize_with_min_max(min_max, floats, view.as_slice_mut::<u8>()?))
        })?;
        recycle(inputs);
        Ok(tvec!(
            out.into_tvalue(),
            tensor0(scale).into_tvalue(),
            tensor0(zero_point).into_tvalue()
        ))
    }
}

impl TypedOp for QuantizeOutput {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let facts = self.op().output_facts(inputs)?;
        let scalar: [TDim; 0] = [];
        Ok(tvec!(u8::fact(facts[0].shape.clone()), f32::fact(&scalar), u8::fact(&scalar)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        self.op().cost(inputs)
    }
}
