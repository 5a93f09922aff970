//! Parts that most operators share.

use tract_onnx::tract_core::internal::*;

use super::pool::ALIGNMENT;

/// Implements [`Op`] for an operator of this crate.
macro_rules! operator {
    ($name:ident) => {
        impl Op for $name {
            fn name(&self) -> StaticName {
                stringify!($name).into()
            }
            fn info(&self) -> TractResult<Vec<String>> {
                Ok(vec![super::cost::INFO.to_owned()])
            }
            op_as_typed_op!();
        }
    };
}
pub(super) use operator;

/// Makes an f32 tensor of zeros.
pub(super) fn zeros(shape: &[usize]) -> TractResult<Tensor> {
    Tensor::zero_aligned_dt(f32::datum_type(), shape, ALIGNMENT)
}

/// Returns the values of an f32 tensor.
pub(super) fn floats(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

/// Returns an f32 `fact` with another length of the last axis.
pub(super) fn with_last_axis(fact: &TypedFact, length: usize) -> TractResult<TypedFact> {
    ensure!(fact.datum_type == f32::datum_type(), "takes f32, not {:?}", fact.datum_type);
    let mut shape = fact.shape.to_tvec();
    *shape.last_mut().context("takes at least one axis")? = length.to_dim();
    Ok(f32::fact(&*shape))
}

/// Returns the length of the last axis.
pub(super) fn last_axis(fact: &TypedFact) -> TractResult<usize> {
    Ok(fact.shape.last().context("takes at least one axis")?.to_usize()?)
}
