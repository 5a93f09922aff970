//! Spectral clustering on the unnormalized Laplacian of a pruned cosine affinity: FunASR's
//! `SpectralCluster`, which is 3D-Speaker's and SpeechBrain's (von Luxburg, *A Tutorial on Spectral
//! Clustering*, 2007; the pruning: Landini et al.).

use faer::{Mat, Side, linalg::solvers::SelfAdjointEigen};

use super::{Vectors, kmeans};

/// Share of each row of the affinity matrix that pruning keeps.
const KEPT_SHARE: f64 = 0.022;
/// Minimum number of values of each row that pruning keeps.
const MIN_KEPT: f64 = 6.0;

/// Clusters unit vectors; returns labels below `max`. The largest gap between neighbouring
/// eigenvalues determines the number of clusters, from `min` to `max`.
pub(super) fn cluster(vectors: &Vectors, min: usize, max: usize) -> Vec<usize> {
    let Some(spectrum) = spectrum(&laplacian(vectors)) else {
        tracing::warn!("the eigenvalues do not converge: all speech is taken for one speaker's");
        return vec![0; vectors.len()];
    };
    let values = smallest(&spectrum, max + 1);
    let count = estimate_count(&values, min, max);
    // Columns in the order of the eigenvalues.
    let basis = spectrum.U();
    let points: Vec<Vec<f64>> =
        (0..vectors.len()).map(|row| (0..count).map(|k| basis[(row, k)]).collect()).collect();
    kmeans::cluster(&points, count)
}

/// Decomposes a symmetric matrix, of which only the lower triangle is set. `None` if the iteration does
/// not converge.
fn spectrum(matrix: &Mat<f64>) -> Option<SelfAdjointEigen<f64>> {
    matrix.self_adjoint_eigen(Side::Lower).ok()
}

/// Returns up to `count` of the smallest eigenvalues, in ascending order.
fn smallest(spectrum: &SelfAdjointEigen<f64>, count: usize) -> Vec<f64> {
    spectrum.S().column_vector().iter().take(count).copied().collect()
}

/// Estimates the number of speakers from the smallest eigenvalues in ascending order.
fn estimate_count(values: &[f64], min: usize, max: usize) -> usize {
    let gap = |count: usize| values[count] - values[count - 1];
    let max = max.min(values.len() - 1);
    // The first of equal gaps wins, as in NumPy's argmax.
    (min..=max).rev().max_by(|&a, &b| gap(a).total_cmp(&gap(b))).unwrap_or(min)
}

/// Returns the Laplacian `D - M`, where `M` is the affinity matrix after all but the largest values
/// of each row are pruned, made symmetric, and `D` holds the sums of its rows. Only the lower triangle is
/// set.
fn laplacian(vectors: &Vectors) -> Mat<f64> {
    let size = vectors.len();
    let share = KEPT_SHARE.max(MIN_KEPT / size as f64).min(1.0);
    let pruned = ((1.0 - share) * size as f64) as usize;
    let mut matrix = Mat::<f64>::zeros(size, size);
    let mut row = Vec::with_capacity(size);
    for i in 0..size {
        row.clear();
        row.extend((0..size).map(|j| (vectors.cosine(i, j), j)));
        if pruned > 0 && pruned < size {
            row.select_nth_unstable_by(pruned, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        for &(cosine, j) in row.iter().skip(pruned).filter(|(_, j)| *j != i) {
            matrix[(i.max(j), i.min(j))] -= 0.5 * f64::from(cosine);
        }
    }
    let mut degrees = vec![0.0; size];
    for i in 0..size {
        for j in 0..i {
            let weight = matrix[(i, j)].abs();
            degrees[i] += weight;
            degrees[j] += weight;
        }
    }
    for (i, degree) in degrees.into_iter().enumerate() {
        matrix[(i, i)] = degree;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speakers::cluster::tests::{assert_same_partition, cases};

    #[test]
    fn affinity_eigenvalues_and_speakers_match_funasr() {
        for case in cases() {
            let vectors = Vectors::new(case.rows());
            let matrix = laplacian(&vectors);
            let size = matrix.nrows();
            for (i, &expected) in case.degrees.iter().enumerate() {
                let degree = matrix[(i, i)];
                assert!((degree - expected).abs() < 1e-4, "{}: {degree} {expected}", case.name);
            }
            let values = smallest(&spectrum(&matrix).unwrap(), 16);
            assert_eq!(values.len(), size.min(16));
            for (value, expected) in values.iter().zip(&case.eigenvalues) {
                assert!((value - expected).abs() < 1e-4, "{}: {value} {expected}", case.name);
            }
            let max = 15.min(size);
            assert_eq!(estimate_count(&values, 1, max), case.count, "{}", case.name);
            assert_same_partition(&cluster(&vectors, 1, max), &case.spectral, &case.name);
        }
    }

    #[test]
    fn each_component_of_a_graph_has_the_eigenvalue_zero() {
        // Five complete graphs of eight nodes: 0 five times, otherwise 8.
        let mut matrix = Mat::<f64>::zeros(40, 40);
        for i in 0..40 {
            for j in i / 8 * 8..i {
                matrix[(i, j)] = -1.0;
            }
            matrix[(i, i)] = 7.0;
        }
        let spectrum = spectrum(&matrix).unwrap();
        for (k, value) in smallest(&spectrum, 16).into_iter().enumerate() {
            let expected = if k < 5 { 0.0 } else { 8.0 };
            assert!((value - expected).abs() < 1e-12, "{k}: {value}");
        }
        // Vectors of equal eigenvalues are orthogonal, too: they tell the components apart.
        let basis = spectrum.U();
        for (a, b) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
            let product: f64 = (0..40).map(|row| basis[(row, a)] * basis[(row, b)]).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-9, "{a} {b}: {product}");
        }
    }

    #[test]
    fn estimates_the_number_within_bounds() {
        let values = [0.0, 0.1, 0.15, 0.9, 1.0, 1.05];
        assert_eq!(estimate_count(&values, 1, 5), 3);
        assert_eq!(estimate_count(&values, 1, 2), 1);
        assert_eq!(estimate_count(&values, 4, 5), 4);
        assert_eq!(estimate_count(&values, 2, 2), 2);
        // With as many speakers as embeddings there is no eigenvalue after the last.
        assert_eq!(estimate_count(&values, 6, 6), 6);
        assert_eq!(estimate_count(&[0.0, 0.0, 0.0], 1, 2), 1);
    }
}
