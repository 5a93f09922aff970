//! Scaled dot-product attention (Vaswani et al. 2017).

use crate::{Isa, PANEL, aligned::Aligned, end_of_rows, float};

/// Query rows whose scores are held at a time.
const QUERY_BLOCK: usize = 24;

/// Keys and values of one head, packed for products with many queries.
#[derive(Clone)]
pub struct Memory {
    /// `[length / PANEL][width][PANEL]`.
    keys: Aligned<f32>,
    /// `[width / PANEL][length][PANEL]`.
    values: Aligned<f32>,
    length: usize,
    width: usize,
}

impl Memory {
    /// Packs the keys and values of one head: row `t` of each starts at `t * stride`, and has
    /// `width` numbers.
    ///
    /// # Panics
    /// If there are no keys, or a slice is too short.
    pub fn pack(keys: &[f32], values: &[f32], stride: usize, length: usize, width: usize) -> Self {
        assert!(length > 0 && width > 0, "attention to nothing");
        assert!(keys.len().min(values.len()) >= end_of_rows(length, stride, width), "rows");
        let mut memory = Self {
            keys: Aligned::zeroed(length.div_ceil(PANEL) * PANEL * width),
            values: Aligned::zeroed(width.div_ceil(PANEL) * PANEL * length),
            length,
            width,
        };
        // Each panel is written from its start to its end.
        for (index, panel) in memory.keys.chunks_exact_mut(PANEL * width).enumerate() {
            let count = PANEL.min(length - index * PANEL);
            for (d, row) in panel.chunks_exact_mut(PANEL).enumerate() {
                let column = keys[index * PANEL * stride + d..].iter().step_by(stride);
                row.iter_mut().zip(column).take(count).for_each(|(to, &from)| *to = from);
            }
        }
        for t in 0..length {
            let rows = values[t * stride..][..width].chunks(PANEL);
            for (panel, row) in memory.values.chunks_exact_mut(PANEL * length).zip(rows) {
                panel[t * PANEL..][..row.len()].copy_from_slice(row);
            }
        }
        memory
    }

    /// `softmax(q kᵀ / sqrt(width)) v` for `rows` queries of `width` numbers; rows of queries and
    /// outputs start every `stride` and `out_stride` numbers.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn attend(
        &self,
        queries: &[f32],
        stride: usize,
        rows: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        self.attend_with(Isa::best(), queries, stride, rows, out, out_stride);
    }

    pub(crate) fn attend_with(
        &self,
        isa: Isa,
        queries: &[f32],
        stride: usize,
        rows: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let scale = 1.0 / (self.width as f32).sqrt();
        let padded = self.length.div_ceil(PANEL) * PANEL;
        let mut scores = Aligned::<f32>::zeroed(padded * rows.min(QUERY_BLOCK));
        let mut sums = [0f32; QUERY_BLOCK];
        for first in (0..rows).step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(rows - first);
            for (index, panel) in self.keys.chunks_exact(PANEL * self.width).enumerate() {
                let tile = float::Tile {
                    a: &queries[first * stride..],
                    a_stride: stride,
                    rows,
                    depth: self.width,
                    panel,
                    columns: PANEL,
                    bias: None,
                    out_stride: padded,
                    add: false,
                };
                isa.float_panel(tile, &mut scores[index * PANEL..]);
            }
            for (row, sum) in scores.chunks_exact_mut(padded).zip(&mut sums).take(rows) {
                *sum = isa.exponentials(&mut row[..self.length], scale);
            }
            for (index, panel) in self.values.chunks_exact(PANEL * self.length).enumerate() {
                let tile = float::Tile {
                    a: &scores,
                    a_stride: padded,
                    rows,
                    depth: self.length,
                    panel,
                    columns: PANEL.min(self.width - index * PANEL),
                    bias: None,
                    out_stride,
                    add: false,
                };
                isa.float_panel(tile, &mut out[first * out_stride + index * PANEL..]);
            }
            for (row, sum) in sums.iter().enumerate().take(rows) {
                let row = &mut out[(first + row) * out_stride..][..self.width];
                row.iter_mut().for_each(|value| *value /= sum);
            }
        }
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
    let isa = Isa::best();
    let width = query.len();
    let needed = scores.len() * width;
    assert!(width > 0 && keys.len().min(values.len()) >= needed && out.len() == width, "lengths");
    let scale = 1.0 / (width as f32).sqrt();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = dot(query, key);
    }
    let sum = isa.exponentials(scores, scale);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
        let weight = score / sum;
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * value;
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums side by side, so that the compiler may use vectors.
    let mut sums = [0f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}
