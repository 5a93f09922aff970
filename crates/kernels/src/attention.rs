//! Scaled dot-product attention (Vaswani et al. 2017).

use std::{cell::RefCell, ops::Range};

use crate::{
    aligned::AlignedBuffer,
    bf16,
    epilogue::Epilogue,
    gemm::{Element, Gemm},
    isa::Isa,
    layout::PANEL,
    rows::Rows,
};

/// Query rows whose scores are computed together.
pub(crate) const QUERY_BLOCK: usize = 24;

/// Number format in which queries, keys, values and attention weights are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ComputeType {
    #[default]
    F32,
    /// Rounded to bfloat16, with sums in f32.
    Bf16,
}

impl ComputeType {
    /// Returns the faster type for the instruction set in use.
    pub fn fastest() -> Self {
        if bf16::is_native() { Self::Bf16 } else { Self::F32 }
    }
}

/// Keys and values of one head, packed to be attended to by many queries.
#[derive(Clone)]
pub struct PackedKeyValues {
    packed: Packed,
    length: usize,
    width: usize,
}

#[derive(Clone)]
enum Packed {
    F32(Panels<f32>),
    Bf16(Panels<u16>),
}

/// Panels with a column for each key, and panels with a column for each number of a value.
#[derive(Clone, Default)]
pub(crate) struct Panels<T: Element> {
    keys: AlignedBuffer<T>,
    values: AlignedBuffer<T>,
}

thread_local! {
    /// Scores of a block of queries.
    static SCORES: RefCell<AlignedBuffer<f32>> = RefCell::default();
    /// Keys and values that [`attend`] packs, indexed by [`ComputeType`].
    static PACKED: RefCell<[PackedKeyValues; 2]> =
        RefCell::new([ComputeType::F32, ComputeType::Bf16].map(PackedKeyValues::empty));
}

/// Computes `softmax(q kᵀ / sqrt(width)) v` of one head, whose rows have `width` numbers. Rows of
/// the output start every `out_stride` numbers.
///
/// ```
/// use kernels::{Rows, attention::{ComputeType, attend}};
///
/// // A query that matches the second key only.
/// let (query, keys, values) = ([60.0, 0.0], [0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]);
/// let rows = |values| Rows { values, stride: 2, count: 2 };
/// let query = Rows { values: &query[..], stride: 2, count: 1 };
/// let mut out = [0.0; 2];
/// attend(query, rows(&keys), rows(&values), 2, ComputeType::default(), &mut out, 2);
/// assert_eq!(out, [3.0, 4.0]);
/// ```
///
/// # Panics
/// If there are no keys, the numbers of keys and values differ, or a slice is too short.
pub fn attend(
    queries: Rows<'_>,
    keys: Rows<'_>,
    values: Rows<'_>,
    width: usize,
    compute_type: ComputeType,
    out: &mut [f32],
    out_stride: usize,
) {
    PACKED.with_borrow_mut(|packed| {
        let packed = &mut packed[compute_type as usize];
        packed.refill(Isa::selected(), keys, values, width);
        packed.attend(queries, out, out_stride);
    });
}

impl PackedKeyValues {
    /// Packs the keys and values of one head, in rows of `width` numbers.
    ///
    /// # Panics
    /// If there are no keys, the numbers of keys and values differ, or a slice is too short.
    pub fn pack(keys: Rows<'_>, values: Rows<'_>, width: usize, compute_type: ComputeType) -> Self {
        Self::pack_for(Isa::selected(), keys, values, width, compute_type)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        keys: Rows<'_>,
        values: Rows<'_>,
        width: usize,
        compute_type: ComputeType,
    ) -> Self {
        let mut packed = Self::empty(compute_type);
        packed.refill(isa, keys, values, width);
        packed
    }

    fn empty(compute_type: ComputeType) -> Self {
        let packed = match compute_type {
            ComputeType::F32 => Packed::F32(Panels::default()),
            ComputeType::Bf16 => Packed::Bf16(Panels::default()),
        };
        Self { packed, length: 0, width: 0 }
    }

    fn refill(&mut self, isa: Isa, keys: Rows<'_>, values: Rows<'_>, width: usize) {
        let length = keys.count;
        assert!(length > 0 && width > 0, "attention to no keys");
        assert_eq!(values.count, length, "keys and values");
        assert!(keys.holds(width) && values.holds(width), "rows of keys and values");
        (self.length, self.width) = (length, width);
        match &mut self.packed {
            Packed::F32(panels) => panels.refill(isa, keys, values, width),
            Packed::Bf16(panels) => panels.refill(isa, keys, values, width),
        }
    }

    /// Computes `softmax(q kᵀ / sqrt(width)) v` for every query. Rows of the output start every
    /// `out_stride` numbers.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn attend(&self, queries: Rows<'_>, out: &mut [f32], out_stride: usize) {
        self.attend_with(Isa::selected(), queries, out, out_stride);
    }

    pub(crate) fn attend_with(
        &self,
        isa: Isa,
        queries: Rows<'_>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        assert!(queries.holds(self.width), "queries");
        let shape = (self.length, self.width);
        match &self.packed {
            Packed::F32(panels) => panels.attend(isa, shape, queries, out, out_stride),
            Packed::Bf16(panels) => panels.attend(isa, shape, queries, out, out_stride),
        }
    }
}

impl PackedKeyValues {
    /// Returns the length of a key.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Computes `softmax(q kᵀ / sqrt(width))` of every query over the first `keys` keys: rows of `keys`
    /// weights, one after the other. Slower than [`PackedKeyValues::attend`], for analysis.
    ///
    /// # Panics
    /// If there are fewer keys, none is asked for, or a slice is too short.
    pub fn weights(&self, queries: Rows<'_>, keys: usize, out: &mut [f32]) {
        self.weights_with(Isa::selected(), queries, keys, out);
    }

    pub(crate) fn weights_with(&self, isa: Isa, queries: Rows<'_>, keys: usize, out: &mut [f32]) {
        assert!(queries.holds(self.width), "queries");
        assert!((1..=self.length).contains(&keys), "number of keys");
        assert!(out.len() >= queries.count * keys, "length of the weights");
        match &self.packed {
            Packed::F32(panels) => panels.weights(isa, self.width, queries, keys, out),
            Packed::Bf16(panels) => panels.weights(isa, self.width, queries, keys, out),
        }
    }
}

impl<T: Element> Panels<T> {
    fn weights(&self, isa: Isa, width: usize, queries: Rows<'_>, keys: usize, out: &mut [f32]) {
        let padded = keys.next_multiple_of(PANEL);
        let scale = 1.0 / (width as f32).sqrt();
        let depth = T::depth(isa, width);
        SCORES.with_borrow_mut(|scores| {
            scores.grow(QUERY_BLOCK * padded);
            T::with_buffer(QUERY_BLOCK * depth, |buffer| {
                for first in (0..queries.count).step_by(QUERY_BLOCK) {
                    let values = &queries.values[first * queries.stride..];
                    let count = QUERY_BLOCK.min(queries.count - first);
                    let queries = Rows { values, count, ..queries };
                    let query_key = Gemm {
                        a: T::convert(isa, queries, width, buffer),
                        depth,
                        panels: &self.keys,
                        outputs: keys,
                        epilogue: Epilogue::default(),
                        out_stride: padded,
                    };
                    query_key.run(isa, scores);
                    let rows = scores.chunks_exact_mut(padded).take(count);
                    for (row, out) in rows.zip(out[first * keys..].chunks_exact_mut(keys)) {
                        let row = &mut row[..keys];
                        let factor = 1.0 / isa.exponentials(row, scale);
                        for (out, weight) in out.iter_mut().zip(row) {
                            *out = *weight * factor;
                        }
                    }
                }
            });
        });
    }

    /// Packs keys and values in rows of `width` numbers.
    pub(crate) fn refill(&mut self, isa: Isa, keys: Rows<'_>, values: Rows<'_>, width: usize) {
        T::pack_by_output(isa, keys, width, &mut self.keys);
        T::pack_by_input(isa, values, width, &mut self.values);
    }

    fn attend(
        &self,
        isa: Isa,
        shape: (usize, usize),
        queries: Rows<'_>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let (_, width) = shape;
        let score = |block: Range<usize>, buffer: &mut [T], scores: &mut [f32]| {
            let values = &queries.values[block.start * queries.stride..];
            let queries = Rows { values, count: block.len(), ..queries };
            self.score(isa, shape, T::convert(isa, queries, width, buffer), scores);
        };
        self.attend_by(isa, shape, queries.count, score, out, out_stride);
    }

    /// Computes the products of converted queries and keys, `[queries, length padded to panels]`.
    pub(crate) fn score(
        &self,
        isa: Isa,
        (length, width): (usize, usize),
        queries: Rows<'_, T>,
        scores: &mut [f32],
    ) {
        let query_key = Gemm {
            a: queries,
            depth: T::depth(isa, width),
            panels: &self.keys,
            outputs: length,
            epilogue: Epilogue::default(),
            out_stride: length.next_multiple_of(PANEL),
        };
        query_key.run(isa, scores);
    }

    /// Computes `softmax(scores / sqrt(width)) v` for `rows` queries. For a block of these, `score`
    /// writes the scores, as [`Self::score`] does; it may use a buffer for converted queries.
    pub(crate) fn attend_by(
        &self,
        isa: Isa,
        (length, width): (usize, usize),
        rows: usize,
        mut score: impl FnMut(Range<usize>, &mut [T], &mut [f32]),
        out: &mut [f32],
        out_stride: usize,
    ) {
        let padded = length.next_multiple_of(PANEL);
        let scale = 1.0 / (width as f32).sqrt();
        let (query_depth, weights_depth) = (T::depth(isa, width), T::depth(isa, length));
        SCORES.with_borrow_mut(|scores| {
            scores.grow(QUERY_BLOCK * padded);
            T::with_buffer(QUERY_BLOCK * query_depth.max(weights_depth), |buffer| {
                for first in (0..rows).step_by(QUERY_BLOCK) {
                    let block = first..rows.min(first + QUERY_BLOCK);
                    let out = &mut out[first * out_stride..];
                    let mut sums = [0.0; QUERY_BLOCK];
                    let sums = &mut sums[..block.len()];
                    score(block, &mut *buffer, &mut *scores);
                    let weights = T::exponentials(isa, scores, padded, length, scale, sums, buffer);
                    let weight_value = Gemm {
                        a: weights,
                        depth: weights_depth,
                        panels: &self.values,
                        outputs: width,
                        epilogue: Epilogue::default(),
                        out_stride,
                    };
                    weight_value.run(isa, out);
                    for (row, sum) in sums.iter().enumerate() {
                        let row = &mut out[row * out_stride..][..width];
                        let factor = 1.0 / sum;
                        row.iter_mut().for_each(|value| *value *= factor);
                    }
                }
            });
        });
    }
}

/// Computes the attention of one query to `scores.len()` keys and values, in rows of `query.len()`
/// numbers. `scores` is scratch memory.
///
/// # Panics
/// If the lengths do not match.
pub fn attend_one(
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    attend_one_with(Isa::selected(), query, keys, values, scores, out);
}

pub(crate) fn attend_one_with(
    isa: Isa,
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let width = query.len();
    let needed = scores.len() * width;
    assert!(width > 0 && out.len() == width, "width of the query and the output");
    assert!(keys.len().min(values.len()) >= needed, "lengths of keys and values");
    let scale = 1.0 / (width as f32).sqrt();
    isa.dot_rows(query, keys, scores);
    let factor = 1.0 / isa.exponentials(scores, scale);
    isa.mix_rows(scores, values, out);
    out.iter_mut().for_each(|value| *value *= factor);
}
