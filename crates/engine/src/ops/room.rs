//! Tensors that are used again: the layers of a network are of a few shapes, and what one is done
//! with has the size of what the next one gives. So memory is neither allocated nor cleared again.

use std::cell::RefCell;

use tract_onnx::tract_core::internal::*;

/// What every allocator aligns to by itself. Asked for more, glibc before 2.38 does not find the memory
/// again that it gave (its bug 14581), and a process grows with every window.
pub(super) const ALIGNMENT: usize = 16;
/// More than the shapes of a layer.
const MOST: usize = 8;

thread_local! {
    static ROOM: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
}

/// A tensor of `shape` with any values.
pub(super) fn room<T: Datum>(shape: &[usize]) -> TractResult<Tensor> {
    let fits = |tensor: &Tensor| tensor.datum_type() == T::datum_type() && tensor.shape() == shape;
    let found = ROOM
        .with_borrow_mut(|room| room.iter().position(fits).map(|index| room.swap_remove(index)));
    found.map_or_else(|| Tensor::zero_aligned_dt(T::datum_type(), shape, ALIGNMENT), Ok)
}

/// For inputs of an operator that is done with them.
pub(super) fn recycle(values: TVec<TValue>) {
    for value in values.into_iter().filter(|value| value.is_exclusive() && value.rank() > 1) {
        let tensor = value.into_tensor();
        ROOM.with_borrow_mut(|room| {
            if room.len() < MOST {
                room.push(tensor);
            }
        });
    }
}

/// Lasts for one run, also for one that panics: the next one may be of another length.
pub(crate) struct Room;

impl Drop for Room {
    fn drop(&mut self) {
        ROOM.with_borrow_mut(Vec::clear);
    }
}
