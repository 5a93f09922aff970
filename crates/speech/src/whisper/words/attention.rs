//! Follows tokens through the audio: how the alignment heads attend to it becomes one path.

use std::ops::Range;

use kernels::token_attention;

/// How much each token attends to each position of the audio, over all alignment heads.
#[derive(Debug)]
pub(in crate::whisper) struct AttentionMap {
    positions: usize,
    /// Row-major `[tokens, positions]`.
    sum: Vec<f32>,
}

impl AttentionMap {
    /// Creates a map without heads. `positions` must not be 0.
    pub(in crate::whisper) fn new(tokens: usize, positions: usize) -> Self {
        Self { positions, sum: vec![0.0; tokens * positions] }
    }

    /// Adds the weights of a head, row-major `[tokens, positions]`.
    pub(in crate::whisper) fn add(&mut self, weights: &[f32]) {
        token_attention::add_head(weights, self.positions, &mut self.sum);
    }

    /// Returns the position at which each of the tokens `rows` begins, on the path with the greatest sum
    /// of attention (dynamic time warping). The path begins at position 0 with the first of them, and ends
    /// at the last position with the last.
    pub(in crate::whisper) fn starts(&self, rows: Range<usize>) -> Vec<usize> {
        let values = &self.sum[rows.start * self.positions..rows.end * self.positions];
        path_starts(values, self.positions)
    }
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
    }
}
