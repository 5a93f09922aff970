//! Spectral clustering on the unnormalized Laplacian of a pruned cosine affinity: FunASR's
//! `SpectralCluster`, which is 3D-Speaker's and SpeechBrain's (von Luxburg, *A Tutorial on Spectral
//! Clustering*, 2007; the pruning: Landini et al.).

use super::{
    Vectors,
    eigen::{Spectrum, Symmetric},
    kmeans,
};

/// Share of each row of the affinity matrix that pruning keeps.
const KEPT_SHARE: f64 = 0.022;
/// Minimum number of values of each row that pruning keeps.
const MIN_KEPT: f64 = 6.0;

/// Clusters unit vectors; returns labels below `max`. The largest gap between neighbouring
/// eigenvalues determines the number of clusters, from `min` to `max`.
pub(super) fn cluster(vectors: &Vectors, min: usize, max: usize) -> Vec<usize> {
    let spectrum = Spectrum::new(laplacian(vectors));
    let values = spectrum.smallest(max + 1);
    let count = estimate_count(&values, min, max);
    let columns = spectrum.vectors(&values[..count]);
    let points: Vec<Vec<f64>> =
        (0..vectors.len()).map(|i| columns.iter().map(|column| column[i]).collect()).collect();
    kmeans::cluster(&points, count)
}

/// Estimates the number of speakers from the smallest eigenvalues in ascending order.
fn estimate_count(values: &[f64], min: usize, max: usize) -> usize {
    let gap = |count: usize| values[count] - values[count - 1];
    let max = max.min(values.len() - 1);
    // The first of equal gaps wins, as in NumPy's argmax.
    (min..=max).rev().max_by(|&a, &b| gap(a).total_cmp(&gap(b))).unwrap_or(min)
}

/// Returns the Laplacian `D - M`, where `M` is the affinity matrix after all but the largest values
/// of each row are pruned, made symmetric, and `D` holds the sums of its rows.
fn laplacian(vectors: &Vectors) -> Symmetric {
    let size = vectors.len();
    let share = KEPT_SHARE.max(MIN_KEPT / size as f64).min(1.0);
    let pruned = ((1.0 - share) * size as f64) as usize;
    let mut matrix = Symmetric::zeros(size);
    let mut row = Vec::with_capacity(size);
    for i in 0..size {
        row.clear();
        row.extend((0..size).map(|j| (vectors.cosine(i, j), j)));
        if pruned > 0 && pruned < size {
            row.select_nth_unstable_by(pruned, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        for &(cosine, j) in row.iter().skip(pruned).filter(|(_, j)| *j != i) {
            matrix.row_mut(i.max(j))[i.min(j)] -= 0.5 * f64::from(cosine);
        }
    }
    let mut degrees = vec![0.0; size];
    for i in 0..size {
        for j in 0..i {
            let weight = matrix.row(i)[j].abs();
            degrees[i] += weight;
            degrees[j] += weight;
        }
    }
    for (i, degree) in degrees.into_iter().enumerate() {
        matrix.row_mut(i)[i] = degree;
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
            let size = matrix.size();
            for (i, &expected) in case.degrees.iter().enumerate() {
                let degree = matrix.row(i)[i];
                assert!((degree - expected).abs() < 1e-4, "{}: {degree} {expected}", case.name);
            }
            let spectrum = Spectrum::new(matrix);
            let values = spectrum.smallest(16);
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
