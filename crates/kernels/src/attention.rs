//! Scaled dot-product attention (Vaswani et al. 2017).

use std::cell::RefCell;

use crate::{Epilogue, Isa, PANEL, Rows, aligned::AlignedBuffer, bf16, float, product::Product};

/// Query rows whose scores are held at a time.
const QUERY_BLOCK: usize = 24;

/// What queries, keys, values and the weights of values are multiplied as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ComputeType {
    #[default]
    Float,
    /// Rounded to bfloat16, with sums in f32.
    Bf16,
}

impl ComputeType {
    /// The faster ones on this machine.
    pub fn fastest() -> Self {
        if bf16::is_native() { Self::Bf16 } else { Self::Float }
    }
}

/// Keys and values of one head, packed for products with many queries.
#[derive(Clone)]
pub struct PackedKeyValues {
    packed: Packed,
    length: usize,
    width: usize,
}

#[derive(Clone)]
enum Packed {
    Float {
        /// `[length / PANEL][width][PANEL]`.
        keys: AlignedBuffer<f32>,
        /// `[width / PANEL][length][PANEL]`.
        values: AlignedBuffer<f32>,
    },
    Bf16 {
        /// With a column for each key.
        keys: AlignedBuffer<u16>,
        /// With a column for each number of a value.
        values: AlignedBuffer<u16>,
    },
}

/// What is needed on the way; kept per thread.
#[derive(Default)]
struct Scratch {
    scores: AlignedBuffer<f32>,
    /// Queries, then weights.
    rounded: AlignedBuffer<u16>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// What [`attend`] packs, by its [`ComputeType`].
    static MEMORIES: RefCell<[PackedKeyValues; 2]> =
        RefCell::new([ComputeType::Float, ComputeType::Bf16].map(PackedKeyValues::empty));
}

/// `softmax(q kᵀ / sqrt(width)) v` of one head, whose rows have `width` numbers; rows of the output
/// start every `out_stride` numbers.
///
/// # Panics
/// If there are no keys, not as many values as keys, or a slice is too short.
pub fn attend(
    queries: Rows<'_>,
    keys: Rows<'_>,
    values: Rows<'_>,
    width: usize,
    products: ComputeType,
    out: &mut [f32],
    out_stride: usize,
) {
    MEMORIES.with_borrow_mut(|memories| {
        let memory = &mut memories[products as usize];
        memory.refill(Isa::best(), keys, values, width);
        memory.attend(queries, out, out_stride);
    });
}

impl PackedKeyValues {
    /// Packs the keys and values of one head, in rows of `width` numbers.
    ///
    /// # Panics
    /// If there are no keys, not as many values as keys, or a slice is too short.
    pub fn pack(keys: Rows<'_>, values: Rows<'_>, width: usize, products: ComputeType) -> Self {
        Self::pack_for(Isa::best(), keys, values, width, products)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        keys: Rows<'_>,
        values: Rows<'_>,
        width: usize,
        products: ComputeType,
    ) -> Self {
        let mut memory = Self::empty(products);
        memory.refill(isa, keys, values, width);
        memory
    }

    fn empty(products: ComputeType) -> Self {
        let packed = match products {
            ComputeType::Float => {
                Packed::Float { keys: AlignedBuffer::default(), values: AlignedBuffer::default() }
            }
            ComputeType::Bf16 => {
                Packed::Bf16 { keys: AlignedBuffer::default(), values: AlignedBuffer::default() }
            }
        };
        Self { packed, length: 0, width: 0 }
    }

    fn refill(&mut self, isa: Isa, keys: Rows<'_>, values: Rows<'_>, width: usize) {
        let length = keys.count;
        assert!(length > 0 && width > 0 && values.count == length, "attention to nothing");
        assert!(keys.holds(width) && values.holds(width), "rows");
        (self.length, self.width) = (length, width);
        match &mut self.packed {
            Packed::Float { keys: packed_keys, values: packed_values } => {
                float::pack_outputs(keys, width, packed_keys);
                float::pack_inputs(values, width, packed_values);
            }
            Packed::Bf16 { keys: packed_keys, values: packed_values } => {
                bf16::pack_outputs(isa, keys, width, packed_keys);
                bf16::pack_inputs(isa, values, width, packed_values);
            }
        }
    }

    /// `softmax(q kᵀ / sqrt(width)) v` for every query; rows of the output start every `out_stride`
    /// numbers.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn attend(&self, queries: Rows<'_>, out: &mut [f32], out_stride: usize) {
        self.attend_with(Isa::best(), queries, out, out_stride);
    }

    pub(crate) fn attend_with(
        &self,
        isa: Isa,
        queries: Rows<'_>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        assert!(queries.holds(self.width), "queries");
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.scores.grow(QUERY_BLOCK * self.length.next_multiple_of(PANEL));
            for first in (0..queries.count).step_by(QUERY_BLOCK) {
                let values = &queries.values[first * queries.stride..];
                let count = QUERY_BLOCK.min(queries.count - first);
                let queries = Rows { values, count, ..queries };
                let out = &mut out[first * out_stride..];
                let sums = match &self.packed {
                    Packed::Float { keys, values } => {
                        self.in_f32(isa, keys, values, queries, scratch, out, out_stride)
                    }
                    Packed::Bf16 { keys, values } => {
                        self.in_bf16(isa, keys, values, queries, scratch, out, out_stride)
                    }
                };
                for (row, sum) in sums.iter().enumerate().take(count) {
                    let row = &mut out[row * out_stride..][..self.width];
                    let share = 1.0 / sum;
                    row.iter_mut().for_each(|value| *value *= share);
                }
            }
        });
    }

    /// A block of queries, as far as the division of each row by the sum of its weights, which is
    /// returned.
    #[expect(clippy::too_many_arguments)]
    fn in_f32(
        &self,
        isa: Isa,
        keys: &[f32],
        values: &[f32],
        queries: Rows<'_>,
        scratch: &mut Scratch,
        out: &mut [f32],
        out_stride: usize,
    ) -> [f32; QUERY_BLOCK] {
        let (scores, padded) = (&mut scratch.scores, self.length.next_multiple_of(PANEL));
        let product = Product {
            a: queries.values,
            a_stride: queries.stride,
            rows: queries.count,
            depth: self.width,
            panels: keys,
            outputs: self.length,
            epilogue: Epilogue::default(),
            out_stride: padded,
        };
        product.multiply(isa, scores);
        let mut sums = [0.0; QUERY_BLOCK];
        for (row, sum) in scores.chunks_exact_mut(padded).zip(&mut sums).take(queries.count) {
            *sum = isa.exponentials(&mut row[..self.length], self.scale());
        }
        let product = Product {
            a: scores,
            a_stride: padded,
            depth: self.length,
            panels: values,
            outputs: self.width,
            out_stride,
            ..product
        };
        product.multiply(isa, out);
        sums
    }

    /// As [`Self::in_f32`].
    #[expect(clippy::too_many_arguments)]
    fn in_bf16(
        &self,
        isa: Isa,
        keys: &[u16],
        values: &[u16],
        queries: Rows<'_>,
        scratch: &mut Scratch,
        out: &mut [f32],
        out_stride: usize,
    ) -> [f32; QUERY_BLOCK] {
        let Scratch { scores, rounded } = scratch;
        let padded = self.length.next_multiple_of(PANEL);
        let (of_queries, of_weights) =
            (bf16::depth(isa, self.width), bf16::depth(isa, self.length));
        rounded.grow(QUERY_BLOCK * of_queries.max(of_weights));
        bf16::round_rows(isa, queries, self.width, rounded);
        let product = Product {
            a: rounded,
            a_stride: of_queries,
            rows: queries.count,
            depth: of_queries,
            panels: keys,
            outputs: self.length,
            epilogue: Epilogue::default(),
            out_stride: padded,
        };
        product.multiply(isa, scores);
        let mut sums = [0.0; QUERY_BLOCK];
        let weights = rounded.chunks_exact_mut(of_weights);
        let rows = scores.chunks_exact_mut(padded).zip(weights).zip(&mut sums);
        for ((row, weights), sum) in rows.take(queries.count) {
            let (weights, rest) = weights.split_at_mut(self.length);
            *sum = isa.exponentials_in_bf16(&mut row[..self.length], self.scale(), weights);
            rest.fill(0);
        }
        let product = Product {
            a: rounded,
            a_stride: of_weights,
            rows: queries.count,
            depth: of_weights,
            panels: values,
            outputs: self.width,
            epilogue: Epilogue::default(),
            out_stride,
        };
        product.multiply(isa, out);
        sums
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Attention of one query over `length` keys and values in rows of `query.len()` numbers.
/// `scores` is room for `length` numbers.
///
/// # Panics
/// If the lengths do not fit together.
pub fn attend_one(
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    attend_one_with(Isa::best(), query, keys, values, scores, out);
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
    assert!(width > 0 && keys.len().min(values.len()) >= needed && out.len() == width, "lengths");
    let scale = 1.0 / (width as f32).sqrt();
    isa.dot_rows(query, keys, scores);
    let share = 1.0 / isa.exponentials(scores, scale);
    isa.mix_rows(scores, values, out);
    out.iter_mut().for_each(|value| *value *= share);
}
