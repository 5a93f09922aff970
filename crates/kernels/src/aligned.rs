//! Buffers aligned to cache lines, so that no vector load spans two lines.

#![allow(unsafe_code)]

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use bytemuck::Pod;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The alignment that every allocator provides by itself. glibc before 2.38 does not reuse freed
/// memory of a larger alignment (its bug 14581), and a process grows with every window.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Block([u8; 16]);

/// A slice of numbers, aligned to 64 bytes, zeroed when it is allocated.
pub struct AlignedBuffer<T> {
    /// One cache line longer than the numbers.
    blocks: Vec<Block>,
    /// Bytes before the first cache line boundary.
    offset: usize,
    length: usize,
    element: PhantomData<T>,
}

impl<T: Pod> AlignedBuffer<T> {
    /// Allocates `length` zeros.
    ///
    /// # Panics
    /// If `length` numbers do not fit the address space.
    pub fn zeroed(length: usize) -> Self {
        const { assert!(align_of::<T>() <= align_of::<Block>(), "an empty buffer is not aligned") };
        let bytes = length.checked_mul(size_of::<T>()).expect("fits the address space");
        if bytes == 0 {
            return Self { blocks: Vec::new(), offset: 0, length, element: PhantomData };
        }
        let blocks = vec![Block([0; 16]); bytes.div_ceil(16) + LINE / 16];
        let start = blocks.as_ptr().addr();
        let offset = start.next_multiple_of(LINE) - start;
        Self { blocks, offset, length, element: PhantomData }
    }

    /// Makes the buffer at least `length` numbers long. Their values are unspecified.
    pub fn grow(&mut self, length: usize) {
        if length > self.length {
            *self = Self::zeroed(length);
        }
    }
}

impl<T: Pod> Clone for AlignedBuffer<T> {
    fn clone(&self) -> Self {
        // Not a copy of `blocks`: in another allocation, cache lines start at another offset.
        let mut clone = Self::zeroed(self.length);
        clone.copy_from_slice(self);
        clone
    }
}

impl<T: Pod> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: Pod> Deref for AlignedBuffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `blocks` owns at least `offset + length * size_of::<T>()` initialized bytes, as
        // `offset` is less than a line. The start is aligned to 64, or to 16 if the buffer is
        // empty, and `T` needs no more than 16. Every bit pattern is a valid `Pod`.
        unsafe {
            let start = self.blocks.as_ptr().cast::<u8>().add(self.offset);
            std::slice::from_raw_parts(start.cast(), self.length)
        }
    }
}

impl<T: Pod> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe {
            let start = self.blocks.as_mut_ptr().cast::<u8>().add(self.offset);
            std::slice::from_raw_parts_mut(start.cast(), self.length)
        }
    }
}
