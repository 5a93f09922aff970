//! A pool of tensors that are reused within a run.
//!
//! The layers of a network have few different shapes, and an input that an operator no longer needs
//! often has the shape of a later output. Reuse saves allocating and clearing the memory.

use std::cell::RefCell;

use tract_onnx::tract_core::internal::*;

/// Alignment that every allocator provides by default. With a larger one, glibc before 2.38 does
/// not find freed memory again (its bug 14581), and a process grows with every window.
pub(super) const ALIGNMENT: usize = 16;
/// More than the number of shapes in a layer.
const MAX_TENSORS: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
}

/// Returns a tensor of `shape` with arbitrary values.
pub(super) fn pooled_tensor<T: Datum>(shape: &[usize]) -> TractResult<Tensor> {
    let fits = |tensor: &Tensor| tensor.datum_type() == T::datum_type() && tensor.shape() == shape;
    let found = POOL
        .with_borrow_mut(|pool| pool.iter().position(fits).map(|index| pool.swap_remove(index)));
    found.map_or_else(|| Tensor::zero_aligned_dt(T::datum_type(), shape, ALIGNMENT), Ok)
}

/// Adds to the pool those inputs of an operator that nothing else uses.
pub(super) fn recycle(values: TVec<TValue>) {
    for value in values.into_iter().filter(|value| value.is_exclusive() && value.rank() > 1) {
        let tensor = value.into_tensor();
        POOL.with_borrow_mut(|pool| {
            if pool.len() < MAX_TENSORS {
                pool.push(tensor);
            }
        });
    }
}

/// Guard that empties the thread's pool after a run, even one that panics. The next run may have
/// other lengths, so that no tensor would fit.
pub(crate) struct TensorPool;

impl Drop for TensorPool {
    fn drop(&mut self) {
        POOL.with_borrow_mut(Vec::clear);
    }
}
