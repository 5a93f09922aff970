//! Operators whose output is only quantized: what they compute stays in memory of the thread.

use std::cell::RefCell;

use kernels::{AlignedBuffer, dynamic};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    Attention, LayerNorm, QuantizedLinear,
    room::{recycle, room},
};

/// An operator with one f32 output, which may go to memory that is there already.
pub(crate) trait Fill {
    fn shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>>;

    /// Writes every number of `out`, which is as long as the shape says.
    fn fill(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()>;

    /// As [`Self::fill`]; returns the least and the greatest of what is written and zero.
    fn fill_with_min_max(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<(f32, f32)> {
        self.fill(inputs, out)?;
        Ok(dynamic::min_max(out))
    }
}

/// What a [`Fill`] gives as a tensor of its own.
pub(super) fn filled(op: &impl Fill, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let mut out = room::<f32>(&op.shape(&inputs)?)?;
    op.fill(&inputs, out.try_as_plain_ram_mut()?.as_slice_mut()?)?;
    recycle(inputs);
    Ok(tvec!(out.into_tvalue()))
}

/// An operator and [`super::DynamicQuantize`] of its output, in whose place it gives values, scale
/// and zero point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ThenQuantize {
    Norm(LayerNorm),
    Linear(QuantizedLinear),
    Attention(Attention),
}

thread_local! {
    static FLOATS: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

impl ThenQuantize {
    /// `op` with what follows it, if that is possible.
    pub(crate) fn of(op: &dyn TypedOp) -> Option<Self> {
        let linear = op.downcast_ref::<QuantizedLinear>();
        // One that adds works in the place of what it adds to.
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

    fn fill(&self) -> &dyn Fill {
        match self {
            Self::Norm(op) => op,
            Self::Linear(op) => op,
            Self::Attention(op) => op,
        }
    }
}

impl Op for ThenQuantize {
    fn name(&self) -> StaticName {
        format!("{} + DynamicQuantize", self.op().name()).into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.op().info()
    }

    op_as_typed_op!();
}

impl EvalOp for ThenQuantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.fill().shape(&inputs)?;
        let mut out = room::<u8>(&shape)?;
        let (scale, zero_point) = FLOATS.with_borrow_mut(|floats| -> TractResult<_> {
            let count = out.len();
            floats.grow(count);
            let min_max = self.fill().fill_with_min_max(&inputs, &mut floats[..count])?;
            let mut view = out.try_as_plain_ram_mut()?;
            Ok(dynamic::quantize_with_min_max(
                min_max,
                &floats[..count],
                view.as_slice_mut::<u8>()?,
            ))
        })?;
        recycle(inputs);
        Ok(tvec!(
            out.into_tvalue(),
            tensor0(scale).into_tvalue(),
            tensor0(zero_point).into_tvalue()
        ))
    }
}

impl TypedOp for ThenQuantize {
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
