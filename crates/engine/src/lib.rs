//! Runs networks with tract: graphs built or loaded, rewritten into fused operators that stand on
//! `kernels`.
//!
//! Nothing of tract shows but [`Tensor`]. A network runs on the thread that calls it, and one
//! instance serves all threads: weights are shared, and each call borrows its own buffers.

mod decoding;
mod error;
mod linear;
mod network;
mod onnx;
mod ops;
mod precision;
mod profile;
mod runner;
#[cfg(test)]
mod tests;

pub use decoding::{KeyValueCache, Memories};
pub use error::Error;
pub use linear::Linear;
pub use network::{ComputeType, GraphBuilder, Network, Node, PostOp};
pub use onnx::{Dim, Element, Input, Onnx, OnnxFile, OnnxNode, Port};
pub use precision::{Precision, UnknownPrecision};
pub use profile::{NetworkRun, OperatorTime, Products, Recording, record};
/// An n-dimensional array; see [`tensor()`] and [`values`] for the way in and out.
pub use tract_onnx::prelude::Tensor;

use tract_onnx::prelude::Datum;

/// A tensor of `shape` filled from `values` (row-major).
pub fn tensor<T: Datum + Copy>(shape: &[usize], values: &[T]) -> Result<Tensor, Error> {
    let volume = shape.iter().try_fold(1usize, |volume, &dim| volume.checked_mul(dim));
    if volume != Some(values.len()) {
        return Err(Error::Input(format!("{} values cannot fill {shape:?}", values.len())));
    }
    Tensor::from_shape(shape, values).map_err(|error| Error::Input(format!("{error:#}")))
}

/// The values of a tensor, row-major; an error if they are of another type.
pub fn values<T: Datum>(tensor: &Tensor) -> Result<&[T], Error> {
    tensor
        .try_as_plain_ram()
        .and_then(|view| view.as_slice::<T>())
        .map_err(|error| Error::Input(format!("{error:#}")))
}
