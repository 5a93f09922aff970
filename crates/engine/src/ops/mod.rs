//! Operators that tract has not: they stand on `kernels`.

mod attention;
mod convolution;
mod decoder;
mod fsmn;
mod linear;
mod log_softmax;
mod lstm;
mod norm;
mod quantized;
mod self_attention;
mod sum;
mod top_k;
mod truncate;
mod weights;

pub(crate) use attention::Attention;
pub(crate) use convolution::Convolution;
pub(crate) use decoder::{CachedAttention, Embedding, LastPosition, MemoryAttention};
pub(crate) use fsmn::Fsmn;
pub(crate) use linear::Linear;
pub(crate) use log_softmax::LogSoftmax;
pub(crate) use lstm::{Direction, Lstm};
pub(crate) use norm::LayerNorm;
pub(crate) use quantized::{DynamicQuantize, QuantizedLinear};
pub(crate) use self_attention::SelfAttention;
pub(crate) use sum::Sum;
pub(crate) use top_k::TopK;
pub(crate) use truncate::{Truncate, at_most};
pub(crate) use weights::Weights;

use tract_onnx::tract_core::internal::*;

/// The parts of `Op` and `TypedOp` that are the same for all.
macro_rules! operator {
    ($name:ident) => {
        impl Op for $name {
            fn name(&self) -> StaticName {
                stringify!($name).into()
            }
            op_as_typed_op!();
        }
    };
}
use operator;

/// A new f32 tensor of `shape`, all zeros.
fn zeros(shape: &[usize]) -> TractResult<Tensor> {
    Tensor::zero::<f32>(shape)
}

fn floats(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

fn with_last_axis(fact: &TypedFact, length: usize) -> TractResult<TypedFact> {
    ensure!(fact.datum_type == f32::datum_type(), "takes f32, not {:?}", fact.datum_type);
    let mut shape = fact.shape.to_tvec();
    *shape.last_mut().context("takes at least one axis")? = length.to_dim();
    Ok(f32::fact(&*shape))
}

fn last_axis(fact: &TypedFact) -> TractResult<usize> {
    Ok(fact.shape.last().context("takes at least one axis")?.to_usize()?)
}
