//! A bank of filters over samples, in at most three parts.

use kernels::{Epilogue, float::Weights, symmetric};

/// Filters that are computed together: those that are alike in their symmetry.
pub(super) struct Part {
    symmetry: Symmetry,
    weights: Weights,
    /// Index of the first filter.
    pub(super) first: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symmetry {
    /// The right half mirrors the left one.
    Even,
    /// The right half mirrors the left one with the opposite sign, and the middle is zero.
    Odd,
    None,
}

/// Buffers for the rows of folded samples.
#[derive(Default)]
pub(super) struct Folded {
    sums: Vec<f32>,
    differences: Vec<f32>,
}

impl Folded {
    /// Folds the samples of rows, if a part needs that.
    pub(super) fn fill(
        &mut self,
        parts: &[Part],
        x: &[f32],
        taps: usize,
        stride: usize,
        rows: usize,
    ) {
        if parts.iter().any(|part| part.symmetry != Symmetry::None) {
            let half = taps / 2;
            self.sums.resize(rows * (half + 1), 0.0);
            self.differences.resize(rows * half, 0.0);
            symmetric::fold(x, stride, &mut self.sums, &mut self.differences, half);
        }
    }
}

impl Part {
    /// Packs `filters`, `[filters, taps]`. Neighbours of the same symmetry make a part.
    pub(super) fn of_bank(filters: &[f32], taps: usize) -> Vec<Self> {
        let symmetries: Vec<_> = filters.chunks_exact(taps).map(Symmetry::of).collect();
        let mut parts = Vec::new();
        for group in symmetries.chunk_by(|a, b| a == b) {
            let first = parts.last().map_or(0, |part: &Self| part.first + part.filters());
            let filters = filters[first * taps..][..group.len() * taps].chunks_exact(taps);
            let symmetry = group[0];
            let inputs = symmetry.inputs(taps);
            let weights: Vec<f32> =
                filters.flat_map(|filter| filter[..inputs].iter().copied()).collect();
            let weights = Weights::pack(&weights, group.len(), inputs);
            parts.push(Self { symmetry, weights, first });
        }
        parts
    }

    pub(super) fn filters(&self) -> usize {
        self.weights.outputs()
    }

    /// Filters `rows` of samples, which begin every `stride`, to `[rows, filters]`. `folded` has
    /// been filled with them.
    pub(super) fn apply(
        &self,
        x: &[f32],
        folded: &Folded,
        stride: usize,
        rows: usize,
        out: &mut [f32],
    ) {
        let (x, stride) = match self.symmetry {
            Symmetry::Even => (&folded.sums[..], self.weights.inputs()),
            Symmetry::Odd => (&folded.differences[..], self.weights.inputs()),
            Symmetry::None => (x, stride),
        };
        self.weights.apply(x, stride, rows, Epilogue::default(), out);
    }
}

impl Symmetry {
    fn of(filter: &[f32]) -> Self {
        let half = filter.len() / 2;
        if filter.len().is_multiple_of(2) || half == 0 {
            return Self::None;
        }
        let pairs = || filter[..half].iter().zip(filter[half + 1..].iter().rev());
        if pairs().all(|(left, right)| left == right) {
            Self::Even
        } else if filter[half] == 0.0 && pairs().all(|(left, right)| *left == -right) {
            Self::Odd
        } else {
            Self::None
        }
    }

    /// Returns the number of products of a filter.
    fn inputs(self, taps: usize) -> usize {
        match self {
            Self::Even => taps / 2 + 1,
            Self::Odd => taps / 2,
            Self::None => taps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_filter_as_written() {
        let (taps, stride, rows) = (7, 3, 11);
        let mut random = fastrand::Rng::with_seed(3);
        let mut numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.f32() * 2.0 - 1.0).collect() };
        let x = numbers((rows - 1) * stride + taps);
        let mut filters = numbers(9 * taps);
        // Two even ones, three odd ones, four others.
        for (index, filter) in filters.chunks_exact_mut(taps).enumerate() {
            for tap in 0..taps / 2 {
                match index {
                    0..2 => filter[taps - 1 - tap] = filter[tap],
                    2..5 => filter[taps - 1 - tap] = -filter[tap],
                    _ => {}
                }
            }
            if (2..5).contains(&index) {
                filter[taps / 2] = 0.0;
            }
        }
        let parts = Part::of_bank(&filters, taps);
        let found: Vec<_> = parts.iter().map(|part| (part.symmetry, part.first)).collect();
        assert_eq!(found, [(Symmetry::Even, 0), (Symmetry::Odd, 2), (Symmetry::None, 5)]);
        let mut folded = Folded::default();
        folded.fill(&parts, &x, taps, stride, rows);
        for part in &parts {
            let mut out = vec![f32::NAN; rows * part.filters()];
            part.apply(&x, &folded, stride, rows, &mut out);
            for (index, found) in out.iter().enumerate() {
                let (row, filter) = (index / part.filters(), part.first + index % part.filters());
                let filter = &filters[filter * taps..][..taps];
                let expected: f32 = filter.iter().zip(&x[row * stride..]).map(|(a, b)| a * b).sum();
                assert!((found - expected).abs() < 1e-5, "{row}: {found}, not {expected}");
            }
        }
    }
}
