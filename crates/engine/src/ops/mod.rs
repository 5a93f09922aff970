//! Operators that tract has not: they stand on `kernels`.

mod attention;
mod convolution;
mod decoder;
mod fsmn;
mod likeliest;
mod linear;
mod lstm;
mod norm;
mod quantize;
mod quantized;
mod room;
mod softmax;
mod sum;
mod top_k;
mod truncate;
mod weights;

pub(crate) use attention::{Attention, Part};
pub(crate) use convolution::Convolution;
pub(crate) use decoder::{CachedAttention, Embedding, LastPosition, MemoryAttention};
pub(crate) use fsmn::Fsmn;
pub(crate) use likeliest::Likeliest;
pub(crate) use linear::Linear;
pub(crate) use lstm::{Direction, Lstm};
pub(crate) use norm::LayerNorm;
pub(crate) use quantize::ThenQuantize;
pub(crate) use quantized::{DynamicQuantize, QuantizedLinear};
pub(crate) use room::Room;
pub(crate) use softmax::Softmax;
pub(crate) use sum::Sum;
pub(crate) use top_k::TopK;
pub(crate) use truncate::{Truncate, at_most};
pub(crate) use weights::Weights;

use tract_onnx::tract_core::{internal::*, ops::Cost};

/// The parts of `Op` and `TypedOp` that are the same for all.
macro_rules! operator {
    ($name:ident) => {
        impl Op for $name {
            fn name(&self) -> StaticName {
                stringify!($name).into()
            }
            fn info(&self) -> TractResult<Vec<String>> {
                Ok(vec![crate::profile::OURS.to_owned()])
            }
            op_as_typed_op!();
        }
    };
}
use operator;
use quantized::quantized;

/// A new f32 tensor of `shape`, all zeros.
fn zeros(shape: &[usize]) -> TractResult<Tensor> {
    Tensor::zero_aligned_dt(f32::datum_type(), shape, room::ALIGNMENT)
}

fn floats(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

/// For [`TypedOp::cost`]: `count` products of f32.
fn float_products(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::FMA(f32::datum_type()), count))
}

/// For [`TypedOp::cost`]: `count` products of bfloat16.
fn bf16_products(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::Custom(true, crate::profile::BF16.to_owned()), count))
}

/// For [`TypedOp::cost`]: `count` products of int8.
fn int8_products(count: TDim) -> TVec<(Cost, TDim)> {
    tvec!((Cost::FMA(i8::datum_type()), count))
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
