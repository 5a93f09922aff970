//! Deterministic k-means with k-means++ initialization (Arthur & Vassilvitskii 2007).

const SEED: u64 = 0;
/// Number of initializations, of which the best result is used.
const RESTARTS: usize = 10;
const MAX_ITERATIONS: usize = 300;

/// Clusters at least `count` points; returns labels below `count`.
pub(super) fn cluster(points: &[Vec<f64>], count: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut best = (f64::INFINITY, vec![0; points.len()]);
    for _ in 0..RESTARTS {
        let found = lloyd(points, initial_centroids(points, count, &mut random));
        if found.0 < best.0 {
            best = found;
        }
    }
    best.1
}

/// Returns the squared Euclidean distance.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Chooses points as initial centroids, each with a probability in proportion to its squared
/// distance from those before. Like scikit-learn, takes the best of a few candidates.
fn initial_centroids(
    points: &[Vec<f64>],
    count: usize,
    random: &mut fastrand::Rng,
) -> Vec<Vec<f64>> {
    let candidates = 2 + (count as f64).ln() as usize;
    let mut centroids = vec![points[random.usize(..points.len())].clone()];
    let mut nearest: Vec<f64> = points.iter().map(|p| distance(p, &centroids[0])).collect();
    while centroids.len() < count {
        let total: f64 = nearest.iter().sum();
        let choice = (0..candidates)
            .map(|_| {
                let mut rest = random.f64() * total;
                let chosen = nearest.iter().position(|&weight| {
                    rest -= weight;
                    rest < 0.0
                });
                let chosen = &points[chosen.unwrap_or(points.len() - 1)];
                let after: Vec<f64> =
                    points.iter().zip(&nearest).map(|(p, &n)| n.min(distance(p, chosen))).collect();
                (after.iter().sum::<f64>(), chosen, after)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, chosen, after)) = choice else { break };
        centroids.push(chosen.clone());
        nearest = after;
    }
    centroids
}

/// Runs Lloyd's iterations until no label changes; returns the sum of squared distances and the
/// labels.
fn lloyd(points: &[Vec<f64>], mut centroids: Vec<Vec<f64>>) -> (f64, Vec<usize>) {
    let mut labels = vec![usize::MAX; points.len()];
    let mut distances = vec![0.0; points.len()];
    for _ in 0..MAX_ITERATIONS {
        let mut changed = false;
        for ((point, label), nearest) in points.iter().zip(&mut labels).zip(&mut distances) {
            let mut best = (0, f64::INFINITY);
            for (index, centroid) in centroids.iter().enumerate() {
                let distance = distance(point, centroid);
                if distance < best.1 {
                    best = (index, distance);
                }
            }
            changed |= *label != best.0;
            (*label, *nearest) = best;
        }
        if !changed {
            break;
        }
        for (index, centroid) in centroids.iter_mut().enumerate() {
            let mut members = 0.0;
            let mut sum = vec![0.0; centroid.len()];
            for (point, _) in points.iter().zip(&labels).filter(|(_, label)| **label == index) {
                members += 1.0;
                sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
            }
            if members > 0.0 {
                *centroid = sum.into_iter().map(|sum| sum / members).collect();
            } else if let Some(far) =
                (0..points.len()).max_by(|&a, &b| distances[a].total_cmp(&distances[b]))
            {
                // A centroid without points moves to the point farthest from its own.
                centroid.clone_from(&points[far]);
                distances[far] = 0.0;
            }
        }
    }
    (distances.iter().sum(), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_groups_deterministically() {
        let mut random = fastrand::Rng::with_seed(7);
        let truth: Vec<usize> = (0..200).map(|i| i * 7 % 5).collect();
        let points: Vec<Vec<f64>> = truth
            .iter()
            .map(|&k| (0..3).map(|d| (k * (d + 1)) as f64 + random.f64() * 0.2).collect())
            .collect();
        let labels = cluster(&points, 5);
        for (i, j) in (0..200).flat_map(|i| (0..i).map(move |j| (i, j))) {
            assert_eq!(labels[i] == labels[j], truth[i] == truth[j]);
        }
        assert_eq!(labels, cluster(&points, 5));
    }

    #[test]
    fn accepts_equal_points() {
        let labels = cluster(&vec![vec![1.0, 2.0]; 4], 3);
        assert!(labels.iter().all(|&label| label < 3));
        assert_eq!(cluster(&[vec![0.5]], 1), [0]);
    }
}
