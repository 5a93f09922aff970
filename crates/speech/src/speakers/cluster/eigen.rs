//! The smallest eigenpairs of a symmetric matrix, by the classic dense route: Householder
//! reduction to a tridiagonal matrix, bisection on Sturm counts for the eigenvalues, inverse
//! iteration for the vectors (Golub & Van Loan, *Matrix Computations*, 8.3 and 8.4).
//!
//! Lanczos would be quicker on so sparse a matrix, but the eigenvalue 0 of a Laplacian comes as
//! often as the graph has components, and Krylov methods find one vector of each. This way is sure,
//! and its cost is bounded: 4/3 n^3 multiplications and additions, in place.

/// A symmetric matrix, row-major; only its lower triangle counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Symmetric {
    size: usize,
    values: Vec<f64>,
}

/// A symmetric matrix reduced to three diagonals, and the reflections that did it.
pub(super) struct Spectrum {
    diagonal: Vec<f64>,
    /// `off[i]` couples `i` and `i + 1`.
    off: Vec<f64>,
    /// Row `i` begins with the `i` values of the vector that cleared row `i`.
    reflections: Symmetric,
    /// The reflection is `I - factor v v'`; zero where there was nothing to clear.
    factors: Vec<f64>,
}

impl Symmetric {
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.size..][..self.size]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.size..][..self.size]
    }
}

impl Spectrum {
    /// Reduces the matrix from its last row to its third: each reflection clears a row left of the
    /// diagonal's neighbour.
    pub(super) fn new(mut matrix: Symmetric) -> Self {
        let size = matrix.size();
        let mut off = vec![0.0; size.saturating_sub(1)];
        let mut factors = vec![0.0; size];
        let mut product = vec![0.0; size];
        for row in (1..size).rev() {
            let (above, vector) = matrix.values.split_at_mut(row * size);
            let vector = &mut vector[..row];
            let (norm, last) = (dot(vector, vector).sqrt(), vector[row - 1]);
            let cleared = vector[..row - 1].iter().all(|&value| value == 0.0);
            if cleared {
                off[row - 1] = last;
                continue;
            }
            let pivot = if last > 0.0 { -norm } else { norm };
            off[row - 1] = pivot;
            vector[row - 1] = last - pivot;
            let factor = 1.0 / (norm * (norm + last.abs()));
            factors[row] = factor;

            // product = factor (A v - (factor / 2) (v' A v) v), over the lower triangle of A.
            let product = &mut product[..row];
            product.fill(0.0);
            for i in 0..row {
                let line = &above[i * size..][..i];
                let (own, weight) = (above[i * size + i], vector[i]);
                let (before, rest) = product.split_at_mut(i);
                axpy(weight, line, before);
                rest[0] += dot(line, &vector[..i]) + own * weight;
            }
            product.iter_mut().for_each(|value| *value *= factor);
            let shift = dot(product, vector) * factor / 2.0;
            axpy(-shift, vector, product);
            // A - v product' - product v'
            for i in 0..row {
                let line = &mut above[i * size..][..=i];
                let (a, b) = (vector[i], product[i]);
                for ((value, v), p) in line.iter_mut().zip(&*vector).zip(&*product) {
                    *value -= a * p + b * v;
                }
            }
        }
        let diagonal = (0..size).map(|i| matrix.row(i)[i]).collect();
        Self { diagonal, off, reflections: matrix, factors }
    }

    /// The `count` smallest eigenvalues, ascending; fewer if the matrix is smaller.
    pub(super) fn smallest(&self, count: usize) -> Vec<f64> {
        (0..count.min(self.diagonal.len())).map(|index| self.eigenvalue(index)).collect()
    }

    /// Orthonormal eigenvectors of `values`, which are those that [`Spectrum::smallest`] gave.
    pub(super) fn vectors(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut found: Vec<Vec<f64>> = Vec::new();
        for (index, &value) in values.iter().enumerate() {
            let vector = self.invert(value, &found, index as u64);
            found.push(vector);
        }
        // Each reflection leaves what it did not clear as it was.
        for vector in &mut found {
            for row in 1..self.diagonal.len() {
                let reflection = &self.reflections.row(row)[..row];
                let weight = -self.factors[row] * dot(reflection, &vector[..row]);
                if weight != 0.0 {
                    axpy(weight, reflection, &mut vector[..row]);
                }
            }
        }
        found
    }

    /// Largest absolute row sum: no eigenvalue is larger.
    fn bound(&self) -> f64 {
        let off = |i: usize| self.off.get(i).map_or(0.0, |value| value.abs());
        let sums = self
            .diagonal
            .iter()
            .enumerate()
            .map(|(i, value)| value.abs() + off(i) + i.checked_sub(1).map_or(0.0, off));
        sums.fold(0.0, f64::max)
    }

    /// By bisection on the number of eigenvalues below.
    fn eigenvalue(&self, index: usize) -> f64 {
        let bound = self.bound();
        let (mut low, mut high) = (-bound, bound);
        loop {
            let middle = low + (high - low) / 2.0;
            if middle <= low || middle >= high || high - low <= f64::EPSILON * bound {
                return middle;
            }
            if self.count_below(middle) > index {
                high = middle;
            } else {
                low = middle;
            }
        }
    }

    /// How many eigenvalues are below `value`: the negative pivots of `T - value I`.
    fn count_below(&self, value: f64) -> usize {
        let (mut count, mut pivot) = (0, 1.0);
        for (i, diagonal) in self.diagonal.iter().enumerate() {
            let coupling = if i == 0 { 0.0 } else { self.off[i - 1] };
            pivot = diagonal - value - coupling * coupling / pivot;
            if pivot == 0.0 {
                pivot = f64::MIN_POSITIVE.sqrt();
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }

    /// An eigenvector of the tridiagonal matrix, orthogonal to those `found`.
    fn invert(&self, value: f64, found: &[Vec<f64>], seed: u64) -> Vec<f64> {
        let factors = Factors::new(self, value);
        // Any start will do that is not by chance orthogonal to what is sought.
        let mut random = fastrand::Rng::with_seed(seed);
        let mut vector: Vec<f64> = self.diagonal.iter().map(|_| random.f64() - 0.5).collect();
        for _ in 0..5 {
            // Twice, because once leaves what rounding left.
            for _ in 0..2 {
                for other in found {
                    let weight = -dot(&vector, other);
                    axpy(weight, other, &mut vector);
                }
            }
            normalize(&mut vector);
            factors.solve(&mut vector);
            normalize(&mut vector);
        }
        for other in found {
            let weight = -dot(&vector, other);
            axpy(weight, other, &mut vector);
        }
        normalize(&mut vector);
        vector
    }
}

/// `T - value I`, factored with row exchanges: T's row and the three values right of the diagonal
/// that elimination leaves in it.
struct Factors {
    upper: Vec<[f64; 3]>,
    /// The multiplier of each elimination, and whether the rows changed places.
    steps: Vec<(f64, bool)>,
}

impl Factors {
    fn new(spectrum: &Spectrum, value: f64) -> Self {
        let size = spectrum.diagonal.len();
        // What stands for zero: a pivot that small says that `value` is an eigenvalue.
        let tiny = f64::EPSILON * spectrum.bound().max(1e-100);
        let off = |i: usize| spectrum.off.get(i).copied().unwrap_or(0.0);
        let mut upper = Vec::with_capacity(size);
        let mut steps = Vec::with_capacity(size);
        let mut row = [spectrum.diagonal[0] - value, off(0), 0.0];
        for i in 1..size {
            let below = [off(i - 1), spectrum.diagonal[i] - value, off(i)];
            let exchanged = below[0].abs() > row[0].abs();
            let (mut pivot, other) = if exchanged { (below, row) } else { (row, below) };
            if pivot[0].abs() < tiny {
                pivot[0] = tiny;
            }
            let factor = other[0] / pivot[0];
            row = [other[1] - factor * pivot[1], other[2] - factor * pivot[2], 0.0];
            upper.push(pivot);
            steps.push((factor, exchanged));
        }
        if row[0].abs() < tiny {
            row[0] = tiny;
        }
        upper.push(row);
        Self { upper, steps }
    }

    fn solve(&self, vector: &mut [f64]) {
        for (i, &(factor, exchanged)) in self.steps.iter().enumerate() {
            if exchanged {
                vector.swap(i, i + 1);
            }
            vector[i + 1] -= factor * vector[i];
        }
        for i in (0..vector.len()).rev() {
            let [pivot, next, after] = self.upper[i];
            let right = |i: usize| vector.get(i).copied().unwrap_or(0.0);
            vector[i] = (vector[i] - next * right(i + 1) - after * right(i + 2)) / pivot;
        }
    }
}

/// In independent lanes, which the compiler can lay side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut partial = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in partial.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    partial.iter().sum::<f64>() + rest
}

/// `y += a x`
fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

fn normalize(vector: &mut [f64]) {
    // A solution of a nearly singular system may be too large to square.
    let largest = vector.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest > 0.0 && largest.is_finite() {
        vector.iter_mut().for_each(|value| *value /= largest);
    }
    let norm = dot(vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value /= norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `A v = lambda v`, and that the vectors are orthonormal.
    fn check(matrix: &Symmetric, count: usize) -> Vec<f64> {
        let size = matrix.size();
        let spectrum = Spectrum::new(matrix.clone());
        let values = spectrum.smallest(count);
        let vectors = spectrum.vectors(&values);
        let at = |i: usize, j: usize| matrix.row(i.max(j))[i.min(j)];
        for (k, vector) in vectors.iter().enumerate() {
            for i in 0..size {
                let product: f64 = (0..size).map(|j| at(i, j) * vector[j]).sum();
                let error = (product - values[k] * vector[i]).abs();
                assert!(error < 1e-9, "{size}: pair {k}, place {i}: off by {error}");
            }
            for (l, other) in vectors[..=k].iter().enumerate() {
                let expected = f64::from(k == l);
                assert!((dot(vector, other) - expected).abs() < 1e-9, "{size}: {k} and {l}");
            }
        }
        values
    }

    fn random(size: usize) -> Symmetric {
        let mut random = fastrand::Rng::with_seed(size as u64);
        let mut matrix = Symmetric::zeros(size);
        for i in 0..size {
            matrix.row_mut(i)[..=i].fill_with(|| random.f64() - 0.5);
        }
        matrix
    }

    #[test]
    fn pairs_solve_their_equation() {
        for size in [1, 2, 3, 4, 7, 20, 61] {
            let values = check(&random(size), 16);
            assert_eq!(values.len(), size.min(16));
            assert!(values.is_sorted());
        }
    }

    #[test]
    fn a_path_has_the_spectrum_of_the_textbook() {
        // Laplacian of a path of n: 2 - 2 cos(pi k / n).
        let size = 40;
        let mut matrix = Symmetric::zeros(size);
        for i in 0..size {
            matrix.row_mut(i)[i] = if i == 0 || i == size - 1 { 1.0 } else { 2.0 };
            if i > 0 {
                matrix.row_mut(i)[i - 1] = -1.0;
            }
        }
        for (k, value) in check(&matrix, 16).into_iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / size as f64).cos();
            assert!((value - expected).abs() < 1e-12, "{k}: {value} instead of {expected}");
        }
    }

    #[test]
    fn equal_eigenvalues_get_vectors_of_their_own() {
        // Five complete graphs of eight: five times 0, the rest 8.
        let mut matrix = Symmetric::zeros(40);
        for i in 0..40 {
            for j in i / 8 * 8..i {
                matrix.row_mut(i)[j] = -1.0;
            }
            matrix.row_mut(i)[i] = 7.0;
        }
        let values = check(&matrix, 16);
        for (k, value) in values.into_iter().enumerate() {
            let expected = if k < 5 { 0.0 } else { 8.0 };
            assert!((value - expected).abs() < 1e-12, "{k}: {value}");
        }
        check(&Symmetric::zeros(5), 5);
    }
}
