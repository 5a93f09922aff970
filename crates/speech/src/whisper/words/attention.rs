//! Follows tokens through the audio: how the alignment heads attend to it becomes one path.

use std::ops::Range;

/// Width of the median filter over positions (0.14 s).
const MEDIAN_WIDTH: usize = 7;

/// How much each token attends to each position of the audio, over all alignment heads.
#[derive(Debug)]
pub(in crate::whisper) struct AttentionMap {
    positions: usize,
    /// Row-major `[tokens, positions]`.
    sum: Vec<f32>,
    /// Scratch buffers: a row with its reflections, and the mean and the inverse deviation per position.
    padded: Vec<f32>,
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl AttentionMap {
    /// Creates a map without heads. `positions` must not be 0.
    pub(in crate::whisper) fn new(tokens: usize, positions: usize) -> Self {
        Self {
            positions,
            sum: vec![0.0; tokens * positions],
            padded: vec![0.0; positions + MEDIAN_WIDTH - 1],
            mean: vec![0.0; positions],
            scale: vec![0.0; positions],
        }
    }

    /// Adds a head. `weights`: row-major `[tokens, positions]`; undefined afterwards.
    ///
    /// As in OpenAI's timing.py (`find_alignment`), a weight counts by how much it exceeds those of the
    /// other tokens at its position, and outliers are filtered.
    pub(in crate::whisper) fn add(&mut self, weights: &mut [f32]) {
        self.normalize(weights);
        for (row, sum) in
            weights.chunks_exact(self.positions).zip(self.sum.chunks_exact_mut(self.positions))
        {
            if row.len() > MEDIAN_WIDTH / 2 {
                reflect(row, &mut self.padded);
                add_medians(&self.padded, sum);
            } else {
                sum.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight);
            }
        }
    }

    /// Subtracts the mean over the tokens at each position, and divides by the standard deviation.
    fn normalize(&mut self, weights: &mut [f32]) {
        let Self { mean, scale, positions, .. } = self;
        let count = (weights.len() / *positions).max(1) as f32;
        mean.fill(0.0);
        scale.fill(0.0);
        for row in weights.chunks_exact(*positions) {
            mean.iter_mut().zip(row).for_each(|(mean, weight)| *mean += weight);
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        for row in weights.chunks_exact(*positions) {
            for ((sum, weight), mean) in scale.iter_mut().zip(row).zip(&*mean) {
                *sum += (weight - mean) * (weight - mean);
            }
        }
        for scale in &mut *scale {
            let deviation = (*scale / count).sqrt();
            *scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        }
        for row in weights.chunks_exact_mut(*positions) {
            for ((weight, mean), scale) in row.iter_mut().zip(&*mean).zip(&*scale) {
                *weight = (*weight - mean) * scale;
            }
        }
    }

    /// Returns the position at which each of the tokens `rows` begins, on the path with the greatest sum
    /// of attention (dynamic time warping). The path begins at position 0 with the first of them, and ends
    /// at the last position with the last.
    pub(in crate::whisper) fn starts(&self, rows: Range<usize>) -> Vec<usize> {
        let values = &self.sum[rows.start * self.positions..rows.end * self.positions];
        path_starts(values, self.positions)
    }
}

/// Writes a row and the reflections of its ends (`reflect` of PyTorch's `pad`). The row must be longer than
/// the reflections.
fn reflect(row: &[f32], padded: &mut [f32]) {
    const PAD: usize = MEDIAN_WIDTH / 2;
    padded[PAD..PAD + row.len()].copy_from_slice(row);
    for distance in 1..=PAD {
        padded[PAD - distance] = row[distance];
        padded[PAD + row.len() - 1 + distance] = row[row.len() - 1 - distance];
    }
}

/// Adds the median of seven neighbours to each value of `sum`.
fn add_medians(padded: &[f32], sum: &mut [f32]) {
    let length = sum.len();
    let shifted: [&[f32]; MEDIAN_WIDTH] =
        std::array::from_fn(|shift| &padded[shift..shift + length]);
    let [a, b, c, d, e, f, g] = shifted;
    // The compiler vectorizes this loop: all slices have one length.
    for (index, sum) in sum.iter_mut().enumerate() {
        let values = [a[index], b[index], c[index], d[index], e[index], f[index], g[index]];
        *sum += median(values);
    }
}

/// Returns the median of seven numbers, by a network of comparisons.
#[inline(always)]
fn median(mut x: [f32; MEDIAN_WIDTH]) -> f32 {
    const EXCHANGES: [(usize, usize); 13] = [
        (0, 5),
        (0, 3),
        (1, 6),
        (2, 4),
        (0, 1),
        (3, 5),
        (2, 6),
        (2, 3),
        (3, 6),
        (4, 5),
        (1, 4),
        (1, 3),
        (3, 4),
    ];
    for (low, high) in EXCHANGES {
        let (a, b) = (x[low], x[high]);
        x[low] = if a < b { a } else { b };
        x[high] = if a < b { b } else { a };
    }
    x[3]
}

/// Returns the column at which the best path through `values` (row-major, `columns` wide) enters each row.
/// A step goes right, down, or both, as in OpenAI's `dtw_cpu`.
fn path_starts(values: &[f32], columns: usize) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Step {
        Both,
        Down,
        Right,
    }
    let rows = values.len() / columns.max(1);
    let mut steps = vec![Step::Right; rows * columns];
    // Costs of the paths to the row above, and to this one; index 0 is left of the first column.
    let mut above = vec![f32::INFINITY; columns + 1];
    above[0] = 0.0;
    let mut here = vec![f32::INFINITY; columns + 1];
    for (row, steps) in
        values.chunks_exact(columns.max(1)).zip(steps.chunks_exact_mut(columns.max(1)))
    {
        here[0] = f32::INFINITY;
        for (column, (value, step)) in row.iter().zip(steps).enumerate() {
            let (both, down, right) = (above[column], above[column + 1], here[column]);
            let cost = if right <= both && right <= down {
                right
            } else if both <= down {
                *step = Step::Both;
                both
            } else {
                *step = Step::Down;
                down
            };
            here[column + 1] = cost - value;
        }
        std::mem::swap(&mut above, &mut here);
    }
    let mut starts = vec![0; rows];
    let (mut row, mut column) = (rows, columns);
    while row > 0 && column > 0 {
        starts[row - 1] = column - 1;
        // The first row can only be entered from the left.
        match steps[(row - 1) * columns + column - 1] {
            Step::Both => (row, column) = (row - 1, column - 1),
            Step::Down => row -= 1,
            Step::Right => column -= 1,
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_path_follows_the_attention() {
        #[rustfmt::skip]
        let values = [
            9.0, 9.0, -1.0, -1.0, -1.0, -1.0,
            -1.0, -1.0, 9.0, -1.0, -1.0, -1.0,
            -1.0, -1.0, -1.0, 9.0, 9.0, 9.0,
        ];
        assert_eq!(path_starts(&values, 6), [0, 2, 3]);
        assert_eq!(path_starts(&values, 1), vec![0; 18]);
        assert_eq!(path_starts(&[], 4), Vec::<usize>::new());
        assert_eq!(path_starts(&[1.0; 4], 4), [0]);
    }

    /// Finds the best path by trying all of them.
    fn best(values: &[f32], columns: usize, row: usize, column: usize) -> f32 {
        let here = values[row * columns + column];
        let before = [(1, 1), (1, 0), (0, 1)].into_iter().filter_map(|(up, left)| {
            let (row, column) = (row.checked_sub(up)?, column.checked_sub(left)?);
            Some(best(values, columns, row, column))
        });
        before.fold(f32::NEG_INFINITY, f32::max).max(if row + column == 0 {
            0.0
        } else {
            f32::NEG_INFINITY
        }) + here
    }

    proptest! {
        #[test]
        fn no_path_is_better(rows in 1usize..5, columns in 1usize..5, seed in prop::collection::vec(-8i8..8, 16)) {
            let values: Vec<f32> = seed[..(rows * columns).min(16)].iter().map(|&x| x.into()).collect();
            let rows = values.len() / columns;
            let values = &values[..rows * columns];
            let starts = path_starts(values, columns);
            prop_assert_eq!(starts.len(), rows);
            prop_assert!(starts.is_sorted());
            if rows > 0 {
                prop_assert_eq!(starts[0], 0);
                // Between two starts, a path stays in its row: the best end of each row is known.
                let expected = best(values, columns, rows - 1, columns - 1);
                let mut total = f32::NEG_INFINITY;
                // A row may end right above the start of the next one, or one column before it.
                for choice in 0..1usize << (rows - 1) {
                    let mut sum = 0.0;
                    for row in 0..rows {
                        let end = match starts.get(row + 1) {
                            Some(&next) if choice >> row & 1 == 1 && next > starts[row] => next - 1,
                            Some(&next) => next,
                            None => columns - 1,
                        };
                        sum += values[row * columns..][starts[row]..=end].iter().sum::<f32>();
                    }
                    total = total.max(sum);
                }
                prop_assert!((total - expected).abs() < 1e-3, "{} {} {:?}", total, expected, starts);
            }
        }

        #[test]
        fn medians(values in prop::collection::vec(-100f32..100.0, 4..40)) {
            let mut map = AttentionMap::new(1, values.len());
            reflect(&values, &mut map.padded);
            let mut found = vec![0.0; values.len()];
            add_medians(&map.padded, &mut found);
            for (index, found) in found.iter().enumerate() {
                let at = |offset: isize| {
                    let last = values.len() as isize - 1;
                    let place = (index as isize + offset).abs();
                    values[if place > last { 2 * last - place } else { place } as usize]
                };
                let mut window: Vec<f32> = (-3..=3).map(at).collect();
                window.sort_by(f32::total_cmp);
                prop_assert_eq!(*found, window[3]);
            }
        }
    }

    #[test]
    fn a_head_counts_by_what_exceeds_the_other_tokens() {
        // Every token attends to the first positions; only the second follows the audio.
        let mut map = AttentionMap::new(2, 20);
        let mut weights = vec![0.0; 40];
        weights[..5].fill(0.5);
        weights[20..25].fill(0.5);
        weights[30..40].fill(0.1);
        map.add(&mut weights);
        assert_eq!(map.sum[..5], [0.0; 5]);
        assert!(map.sum[12] < 0.0 && map.sum[32] > 0.9, "{:?}", map.sum);
    }
}
