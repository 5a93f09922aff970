//! Runs neural networks with tract: graphs that are built layer by layer or cut from ONNX files,
//! and rewritten into fused operators built on `kernels`.
//!
//! [`Tensor`] is the only type of tract in the interface. A network runs on the calling thread. One
//! instance serves all threads: they share its weights, and each call borrows its own buffers.

mod conformer;
mod decoding;
mod dim;
mod error;
mod linear;
mod network;
mod onnx;
mod ops;
mod precision;
mod profile;
mod runner;
mod segmentation;
mod tensor;
#[cfg(test)]
mod tests;

pub use conformer::{RelativePositions, SubsamplingStage, SubsamplingWeights};
pub use decoding::{EncoderMemory, KeyValueCache};
pub use dim::Dim;
pub use error::Error;
pub use kernels::{LEAKY_SLOPE, PostOp, attention::ComputeType};
pub use linear::Linear;
pub use network::{GraphBuilder, Network, Node};
pub use onnx::{ElementType, Input, OnnxFile, OnnxNetwork, OnnxNode, Port};
pub use precision::{Precision, UnknownPrecision};
pub use profile::{MacCounts, NetworkRun, OperatorTime, Profile, profile};
pub use segmentation::{ConvolutionWeights, InstanceNorm, LstmWeights};
pub use tensor::{tensor, values};
/// An n-dimensional array: [`tensor()`] makes one, [`values`] reads one.
pub use tract_onnx::prelude::Tensor;
