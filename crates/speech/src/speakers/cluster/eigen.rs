//! Computes the smallest eigenpairs of a symmetric matrix by the standard dense method: Householder
//! reduction to a tridiagonal matrix, bisection on Sturm counts for the eigenvalues, and inverse
//! iteration for the eigenvectors (Golub & Van Loan, *Matrix Computations*, 8.3 and 8.4).
//!
//! Lanczos would be faster on such a sparse matrix. But the eigenvalue 0 of a Laplacian has the
//! number of the graph's components as its multiplicity, and Krylov methods find only one vector of
//! each eigenvalue. The dense method finds all, with bounded cost: 4/3 n^3 multiplications and
//! additions, in place. A library's full decomposition would be less code, but spectral clustering
//! needs only a few of the vectors: nalgebra's takes five times the CPU time for 2047 rows, with the
//! same eigenvalues.

/// A symmetric matrix, row-major. Only its lower triangle is used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Symmetric {
    size: usize,
    values: Vec<f64>,
}

/// A symmetric matrix reduced to tridiagonal form, and the reflections that reduced it.
pub(super) struct Spectrum {
    diagonal: Vec<f64>,
    /// Off-diagonal values: `off[i]` couples `i` and `i + 1`.
    off: Vec<f64>,
    /// Row `i` begins with the `i` values of the vector that cleared row `i`.
    reflections: Symmetric,
    /// Factor of each reflection `I - factor v v'`; zero for rows that were already clear.
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
    /// Reduces the matrix from its last row to its third. Each reflection clears a row to the left of
    /// the diagonal's neighbour.
    pub(super) fn new(mut matrix: Symmetric) -> Self {
        let size = matrix.size();
        let mut off = vec![0.0; size.saturating_sub(1)];
        let mut factors = vec![0.0; size];
        let mut product = vec![0.0; size];
        for row in (1..size).rev() {
            let (above, vector) = matrix.values.split_at_mut(row * size);
            let vector = &mut vector[..row];
            let (norm, last) = (dot(vector, vector).sqrt(), vector[row - 1]);
            let is_clear = vector[..row - 1].iter().all(|&value| value == 0.0);
            if is_clear {
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

    /// Returns the `count` smallest eigenvalues in ascending order, or all of a smaller matrix.
    pub(super) fn smallest(&self, count: usize) -> Vec<f64> {
        (0..count.min(self.diagonal.len())).map(|index| self.eigenvalue(index)).collect()
    }

    /// Returns orthonormal eigenvectors of `values`, which must be from [`Spectrum::smallest`].
    pub(super) fn vectors(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut found: Vec<Vec<f64>> = Vec::new();
        for (index, &value) in values.iter().enumerate() {
            let vector = self.invert(value, &found, index as u64);
            found.push(vector);
        }
        // Apply the reflections to transform back from the tridiagonal form.
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

    /// Returns the largest absolute row sum, which bounds all eigenvalues.
    fn bound(&self) -> f64 {
        let off = |i: usize| self.off.get(i).map_or(0.0, |value| value.abs());
        let sums = self
            .diagonal
            .iter()
            .enumerate()
            .map(|(i, value)| value.abs() + off(i) + i.checked_sub(1).map_or(0.0, off));
        sums.fold(0.0, f64::max)
    }

    /// Finds an eigenvalue by bisection on the number of eigenvalues below a value.
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

    /// Counts the eigenvalues below `value`: the negative pivots of `T - value I`.
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

    /// Finds an eigenvector of the tridiagonal matrix, orthogonal to those `found` before.
    fn invert(&self, value: f64, found: &[Vec<f64>], seed: u64) -> Vec<f64> {
        let factors = Factors::new(self, value);
        // Any start works unless it happens to be orthogonal to the eigenvector.
        let mut random = fastrand::Rng::with_seed(seed);
        let mut vector: Vec<f64> = self.diagonal.iter().map(|_| random.f64() - 0.5).collect();
        for _ in 0..5 {
            // Twice, to remove the rounding errors of the first pass.
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

/// LU factors of `T - value I` with row exchanges.
struct Factors {
    /// Rows of the upper factor: the pivot and the two values to the right of it.
    upper: Vec<[f64; 3]>,
    /// Multiplier of each elimination, and whether the rows were exchanged.
    steps: Vec<(f64, bool)>,
}

impl Factors {
    fn new(spectrum: &Spectrum, value: f64) -> Self {
        let size = spectrum.diagonal.len();
        // Replaces smaller pivots, which occur because `value` is an eigenvalue.
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

/// Computes a dot product in independent lanes, which the compiler can vectorize.
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

/// Computes `y += a x`.
fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Scales a vector to unit length.
fn normalize(vector: &mut [f64]) {
    // Scale first, because a solution of a nearly singular system may be too large to square.
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
                assert!(error < 1e-9, "{size}: pair {k}, row {i}: off by {error}");
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
    fn eigenpairs_solve_their_equation() {
        for size in [1, 2, 3, 4, 7, 20, 61] {
            let values = check(&random(size), 16);
            assert_eq!(values.len(), size.min(16));
            assert!(values.is_sorted());
        }
    }

    #[test]
    fn eigenvalues_of_a_path_match_the_formula() {
        // Eigenvalues of the Laplacian of a path of n nodes: 2 - 2 cos(pi k / n).
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
    fn equal_eigenvalues_have_orthogonal_vectors() {
        // Five complete graphs of eight nodes: 0 five times, otherwise 8.
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
