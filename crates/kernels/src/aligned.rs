//! Buffers on cache line boundaries, so that no vector load spans two lines.

#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// What every allocator aligns to by itself. Asked for more, glibc before 2.38 does not find the
/// memory again that it gave (its bug 14581), and a process grows with every window.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Block([u8; 16]);

/// Numbers that are valid for every pattern of bits.
pub trait Number: Copy + Default + 'static {}
impl Number for f32 {}
impl Number for i32 {}
impl Number for i8 {}
impl Number for u8 {}
impl Number for u16 {}

/// A zeroed, growable, 64-byte aligned `[T]`.
pub struct AlignedBuffer<T> {
    /// With room for a line more than the numbers need.
    blocks: Vec<Block>,
    /// Where the first line begins, in bytes.
    offset: usize,
    length: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Number> AlignedBuffer<T> {
    pub fn zeroed(length: usize) -> Self {
        let bytes = length.checked_mul(size_of::<T>()).expect("fits the address space");
        if bytes == 0 {
            return Self { blocks: Vec::new(), offset: 0, length, kind: std::marker::PhantomData };
        }
        let blocks = vec![Block([0; 16]); bytes.div_ceil(16) + LINE / 16];
        let start = blocks.as_ptr().addr();
        let offset = start.next_multiple_of(LINE) - start;
        Self { blocks, offset, length, kind: std::marker::PhantomData }
    }

    /// At least `length` numbers, of any value.
    pub fn grow(&mut self, length: usize) {
        if length > self.length {
            *self = Self::zeroed(length);
        }
    }
}

impl<T: Number> Clone for AlignedBuffer<T> {
    fn clone(&self) -> Self {
        // Somewhere else, lines begin at another offset.
        let mut clone = Self::zeroed(self.length);
        clone.copy_from_slice(self);
        clone
    }
}

impl<T: Number> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: Number> Deref for AlignedBuffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `blocks` owns at least `offset + length * size_of::<T>()` initialized bytes, as
        // `offset` is less than a line; the start is aligned to 64, or to 16 where there are no
        // numbers; a `Number` may have any bits.
        unsafe {
            let start = self.blocks.as_ptr().cast::<u8>().add(self.offset);
            std::slice::from_raw_parts(start.cast(), self.length)
        }
    }
}

impl<T: Number> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe {
            let start = self.blocks.as_mut_ptr().cast::<u8>().add(self.offset);
            std::slice::from_raw_parts_mut(start.cast(), self.length)
        }
    }
}
