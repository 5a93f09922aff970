//! Operators that tract does not provide, built on `kernels`.

mod argmax;
mod attention;
mod compute_into;
mod convolution;
mod cost;
mod decoder;
mod fsmn;
mod layer_norm;
mod lazy_weights;
mod linear;
mod lstm;
mod pool;
mod quantize_output;
mod quantized;
mod softmax;
mod sum;
mod support;
mod top_k;
mod truncate;

pub(crate) use argmax::Argmax;
pub(crate) use attention::{Attention, Columns};
pub(crate) use convolution::Convolution;
pub(crate) use cost::{BF16_MAC, is_generic};
pub(crate) use decoder::{CachedAttention, CrossAttention, Embedding, LastPosition};
pub(crate) use fsmn::Fsmn;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use lazy_weights::LazyWeights;
pub(crate) use linear::Linear;
pub(crate) use lstm::{Direction, Lstm};
pub(crate) use pool::TensorPool;
pub(crate) use quantize_output::QuantizeOutput;
pub(crate) use quantized::{DynamicQuantize, QuantizedLinear};
pub(crate) use softmax::Softmax;
pub(crate) use sum::Sum;
pub(crate) use top_k::TopK;
pub(crate) use truncate::{Truncate, at_most};
