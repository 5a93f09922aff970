//! Conversion between tensors and slices.

use tract_onnx::prelude::{Datum, Tensor};

use crate::error::Error;

/// Makes a tensor of `shape` from `values` in row-major order.
///
/// # Errors
/// [`Error::Input`] if the shape does not hold as many values.
pub fn tensor<T: Datum + Copy>(shape: &[usize], values: &[T]) -> Result<Tensor, Error> {
    let volume = shape.iter().try_fold(1usize, |volume, &dim| volume.checked_mul(dim));
    if volume != Some(values.len()) {
        return Err(Error::input(format!("{} values do not fill {shape:?}", values.len())));
    }
    Tensor::from_shape(shape, values).map_err(Error::input)
}

/// Returns the values of a tensor in row-major order.
///
/// # Errors
/// [`Error::Input`] if they are of another type.
pub fn values<T: Datum>(tensor: &Tensor) -> Result<&[T], Error> {
    tensor.try_as_plain_ram().and_then(|view| view.as_slice::<T>()).map_err(Error::input)
}
