//! Buffers on cache line boundaries, so that no vector load spans two lines.

#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Numbers that are valid for every pattern of bits.
pub trait Number: Copy + Default + 'static {}
impl Number for f32 {}
impl Number for i32 {}
impl Number for i8 {}
impl Number for u8 {}
impl Number for u16 {}

/// A zeroed, growable, 64-byte aligned `[T]`.
#[derive(Clone)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Number> Aligned<T> {
    pub fn zeroed(length: usize) -> Self {
        let bytes = length.checked_mul(size_of::<T>()).expect("fits the address space");
        let lines = vec![Line([0; 64]); bytes.div_ceil(64)];
        Self { lines, length, kind: std::marker::PhantomData }
    }

    /// At least `length` numbers, of any value.
    pub fn grow(&mut self, length: usize) {
        if length > self.length {
            *self = Self::zeroed(length);
        }
    }
}

impl<T: Number> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `lines` owns at least `length * size_of::<T>()` initialized bytes, aligned to 64;
        // a `Number` may have any bits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}
