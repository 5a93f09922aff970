//! Self-attention with relative positions (Dai et al. 2019, Transformer-XL), as NeMo's Conformer
//! computes it: `softmax(((q + u) kᵀ + shift((q + v) pᵀ)) / sqrt(width)) values`, where the shift
//! takes, for the query at `i` and the key at `j`, the position `i - j`.
//!
//! The positions of a layer do not depend on its input, so that they are packed once, for the
//! longest input. A block of queries multiplies only those between it and the keys, so that neither
//! the shift nor a matrix of all positions is in memory.

use std::{cell::RefCell, ops::Range};

use crate::{
    aligned::AlignedBuffer,
    attention::{ComputeType, Panels, QUERY_BLOCK},
    epilogue::Epilogue,
    gemm::{Element, Gemm},
    isa::Isa,
    layout::PANEL,
    rows::Rows,
};

/// Projected positions of one head, packed, and what is added to its queries.
#[derive(Clone)]
pub struct RelativePositions {
    panels: PositionPanels,
    /// Greatest distance of a query and a key.
    reach: usize,
    /// Added to queries before they are multiplied by keys.
    content_bias: Vec<f32>,
    /// Added to queries before they are multiplied by positions.
    position_bias: Vec<f32>,
}

/// Panels with a column for each position.
#[derive(Clone)]
enum PositionPanels {
    F32(AlignedBuffer<f32>),
    Bf16(AlignedBuffer<u16>),
}

/// Buffers that are kept per thread.
#[derive(Default)]
struct Scratch {
    f32: Panels<f32>,
    bf16: Panels<u16>,
    /// A block of queries with a bias.
    queries: Vec<f32>,
    /// Products of these with positions.
    products: AlignedBuffer<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl RelativePositions {
    /// Packs the positions from `reach` down to `-reach`, in rows as wide as the biases. With
    /// [`ComputeType::Bf16`], everything that is multiplied is rounded to bfloat16.
    ///
    /// # Panics
    /// If the number of positions is even, the biases have different lengths or none, or a slice is
    /// too short.
    pub fn pack(
        positions: Rows<'_>,
        content_bias: &[f32],
        position_bias: &[f32],
        compute_type: ComputeType,
    ) -> Self {
        Self::pack_for(Isa::selected(), positions, content_bias, position_bias, compute_type)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        positions: Rows<'_>,
        content_bias: &[f32],
        position_bias: &[f32],
        compute_type: ComputeType,
    ) -> Self {
        fn pack<T: Element>(isa: Isa, rows: Rows<'_>, width: usize) -> AlignedBuffer<T> {
            let mut panels = AlignedBuffer::default();
            T::pack_by_output(isa, rows, width, &mut panels);
            panels
        }
        let width = content_bias.len();
        assert!(width > 0 && position_bias.len() == width, "biases of queries");
        assert!(!positions.count.is_multiple_of(2), "positions on both sides of zero");
        assert!(positions.holds(width), "rows of positions");
        let panels = match compute_type {
            ComputeType::F32 => PositionPanels::F32(pack(isa, positions, width)),
            ComputeType::Bf16 => PositionPanels::Bf16(pack(isa, positions, width)),
        };
        Self {
            panels,
            reach: positions.count / 2,
            content_bias: content_bias.to_vec(),
            position_bias: position_bias.to_vec(),
        }
    }

    /// Returns the number of rows of the longest input.
    pub fn max_rows(&self) -> usize {
        self.reach + 1
    }

    /// Returns the length of a query.
    pub fn width(&self) -> usize {
        self.content_bias.len()
    }

    /// Returns whether operands are rounded to bfloat16.
    pub fn is_bf16(&self) -> bool {
        matches!(self.panels, PositionPanels::Bf16(_))
    }

    /// Computes the attention of one head from each row to all rows. Rows of the output start every
    /// `out_stride` numbers.
    ///
    /// # Panics
    /// If there are no rows or more than [`Self::max_rows`], if the numbers of queries, keys and
    /// values differ, or if a slice is too short.
    pub fn attend(
        &self,
        queries: Rows<'_>,
        keys: Rows<'_>,
        values: Rows<'_>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        self.attend_with(Isa::selected(), [queries, keys, values], out, out_stride);
    }

    pub(crate) fn attend_with(
        &self,
        isa: Isa,
        qkv: [Rows<'_>; 3],
        out: &mut [f32],
        out_stride: usize,
    ) {
        let [rows, width] = [qkv[0].count, self.width()];
        assert!((1..=self.max_rows()).contains(&rows), "{rows} rows, {} at most", self.max_rows());
        assert!(qkv.iter().all(|x| x.count == rows && x.holds(width)), "queries, keys and values");
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { f32, bf16, queries, products } = scratch;
            let buffers = (queries, products);
            match &self.panels {
                PositionPanels::F32(positions) => {
                    self.attend_as(isa, qkv, positions, f32, buffers, out, out_stride);
                }
                PositionPanels::Bf16(positions) => {
                    self.attend_as(isa, qkv, positions, bf16, buffers, out, out_stride);
                }
            }
        });
    }

    #[expect(clippy::too_many_arguments, reason = "operands, buffers and output")]
    fn attend_as<T: Element>(
        &self,
        isa: Isa,
        [queries, keys, values]: [Rows<'_>; 3],
        positions: &[T],
        packed: &mut Panels<T>,
        (biased, products): (&mut Vec<f32>, &mut AlignedBuffer<f32>),
        out: &mut [f32],
        out_stride: usize,
    ) {
        let (length, width) = (queries.count, self.width());
        let depth = T::depth(isa, width);
        let padded = length.next_multiple_of(PANEL);
        // A block needs so many positions, from the start of a panel.
        let stride = (length + QUERY_BLOCK + PANEL).next_multiple_of(PANEL);
        products.grow(QUERY_BLOCK * stride);
        packed.refill(isa, keys, values, width);
        let score = |block: Range<usize>, buffer: &mut [T], scores: &mut [f32]| {
            let rows = block.clone().map(|row| queries.row(row, width));
            let converted = with_bias(isa, rows.clone(), &self.content_bias, biased, buffer);
            packed.score(isa, (length, width), converted, scores);
            // The column of the position of a query and the first key.
            let column = |query: usize| self.reach - query;
            let first_panel = column(block.end - 1) / PANEL;
            let product = Gemm {
                a: with_bias(isa, rows, &self.position_bias, biased, buffer),
                depth,
                panels: &positions[first_panel * PANEL * depth..],
                outputs: column(block.start) + length - first_panel * PANEL,
                epilogue: Epilogue::default(),
                out_stride: stride,
            };
            product.run(isa, products);
            let rows = scores.chunks_exact_mut(padded).zip(products.chunks_exact(stride));
            for (query, (scores, products)) in block.zip(rows) {
                let products = &products[column(query) - first_panel * PANEL..][..length];
                isa.add(products, &mut scores[..length]);
            }
        };
        packed.attend_by(isa, (length, width), length, score, out, out_stride);
    }
}

/// Adds `bias` to each of `rows` and converts them.
fn with_bias<'a, 'b, T: Element>(
    isa: Isa,
    rows: impl Iterator<Item = &'b [f32]>,
    bias: &[f32],
    biased: &'a mut Vec<f32>,
    buffer: &'a mut [T],
) -> Rows<'a, T> {
    let width = bias.len();
    biased.clear();
    for row in rows {
        biased.extend(row.iter().zip(bias).map(|(x, bias)| x + bias));
    }
    let rows = Rows { values: &biased[..], stride: width, count: biased.len() / width };
    T::convert(isa, rows, width, buffer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{assert_close, numbers};

    /// Computes the formula with all scores in memory.
    fn plain(
        [queries, keys, values, positions]: [&[f32]; 4],
        [content_bias, position_bias]: [&[f32]; 2],
        reach: usize,
    ) -> Vec<f64> {
        let width = content_bias.len();
        let row = |matrix: &[f32], index: usize| matrix[index * width..][..width].to_vec();
        let dot = |query: &[f32], bias: &[f32], other: &[f32]| -> f64 {
            let terms = query.iter().zip(bias).zip(other);
            terms.map(|((&q, &b), &o)| (f64::from(q) + f64::from(b)) * f64::from(o)).sum()
        };
        let length = queries.len() / width;
        let attend = |i: usize| {
            let query = row(queries, i);
            let scores: Vec<f64> = (0..length)
                .map(|j| {
                    let content = dot(&query, content_bias, &row(keys, j));
                    let position = dot(&query, position_bias, &row(positions, reach + j - i));
                    (content + position) / (width as f64).sqrt()
                })
                .collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - max).exp()).sum();
            let mut out = vec![0.0; width];
            for (j, score) in scores.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(row(values, j)) {
                    *out += (score - max).exp() / total * f64::from(value);
                }
            }
            out
        };
        (0..length).flat_map(attend).collect()
    }

    proptest! {
        #[test]
        fn equals_the_formula(
            length in 1usize..150, more in 0usize..90, width in 1usize..40, gap in 0usize..5,
            seed: u64,
        ) {
            let (reach, stride) = (length + more - 1, width + gap);
            let scaled = |seed: u64, count: usize, scale: f32| -> Vec<f32> {
                numbers(seed, count).iter().map(|x| x * scale).collect()
            };
            let queries = scaled(seed, length * width, 3.0);
            let keys = scaled(seed ^ 1, length * width, 3.0);
            let values = numbers(seed ^ 2, length * width);
            let positions = scaled(seed ^ 3, (2 * reach + 1) * width, 2.0);
            let (u, v) = (numbers(seed ^ 4, width), numbers(seed ^ 5, width));
            let expected = plain([&queries, &keys, &values, &positions], [&u, &v], reach);
            let wide = |matrix: &[f32]| -> Vec<f32> {
                let rows = matrix.chunks(width);
                rows.flat_map(|row| [row, &vec![f32::NAN; gap]].concat()).collect()
            };
            let [queries, keys, values] = [&queries, &keys, &values].map(|x| wide(x));
            let qkv = [&queries, &keys, &values]
                .map(|values| Rows { values, stride, count: length });
            let positions = Rows { values: &positions, stride: width, count: 2 * reach + 1 };
            for &isa in Isa::available() {
                for (compute_type, tolerance) in [(ComputeType::F32, 2e-5), (ComputeType::Bf16, 0.2)] {
                    let relative =
                        RelativePositions::pack_for(isa, positions, &u, &v, compute_type);
                    let mut out = vec![f32::NAN; length * stride];
                    relative.attend_with(isa, qkv, &mut out, stride);
                    let out: Vec<f32> =
                        out.chunks(stride).flat_map(|row| &row[..width]).copied().collect();
                    assert_close(&out, &expected, tolerance);
                }
            }
        }
    }
}
