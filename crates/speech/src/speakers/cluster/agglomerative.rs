//! Agglomerative clustering with average linkage on cosine similarities, as 3D-Speaker's
//! `AHCluster`: merges the two most similar clusters until none are similar enough.
//!
//! Uses nearest-neighbour chains (Müllner, *Modern hierarchical, agglomerative clustering
//! algorithms*, 2011), which take n^2 steps instead of n^3.

use super::Vectors;

/// Minimum mean cosine of two clusters that are merged, as in 3D-Speaker.
const MIN_SIMILARITY: f32 = 0.4;

/// A merge of two clusters, which are identified by their first member.
struct Merge {
    into: usize,
    from: usize,
    similarity: f32,
}

/// Clusters unit vectors into `min` to `max` clusters; returns labels that are consecutive from 0.
pub(super) fn cluster(vectors: &Vectors, min: usize, max: usize) -> Vec<usize> {
    let size = vectors.len();
    let mut merges = dendrogram(vectors);
    // The parts of a cluster merged at a similarity no lower than the cluster's own merges, so that
    // sorting keeps the order of dependent merges.
    merges.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let mut parents: Vec<usize> = (0..size).collect();
    let mut clusters = size;
    for merge in &merges {
        if clusters <= min || (clusters <= max && merge.similarity < MIN_SIMILARITY) {
            break;
        }
        let (a, b) = (find_root(&parents, merge.into), find_root(&parents, merge.from));
        parents[a.max(b)] = a.min(b);
        clusters -= 1;
    }
    let mut labels = vec![usize::MAX; size];
    let mut next = 0;
    (0..size)
        .map(|i| {
            let label = &mut labels[find_root(&parents, i)];
            if *label == usize::MAX {
                *label = next;
                next += 1;
            }
            *label
        })
        .collect()
}

fn find_root(parents: &[usize], mut index: usize) -> usize {
    while parents[index] != index {
        index = parents[index];
    }
    index
}

/// Returns all merges down to a single cluster.
fn dendrogram(vectors: &Vectors) -> Vec<Merge> {
    let size = vectors.len();
    let mut similarities = vec![0.0f32; size * size];
    for i in 0..size {
        for j in 0..i {
            let cosine = vectors.cosine(i, j);
            similarities[i * size + j] = cosine;
            similarities[j * size + i] = cosine;
        }
    }
    let mut members = vec![1.0f32; size];
    let mut active: Vec<usize> = (0..size).collect();
    let mut merges = Vec::with_capacity(size.saturating_sub(1));
    let mut chain: Vec<usize> = Vec::new();
    while active.len() > 1 {
        let last = *chain.last().unwrap_or(&active[0]);
        if chain.is_empty() {
            chain.push(last);
        }
        let before = chain.len().checked_sub(2).map(|index| chain[index]);
        let row = &similarities[last * size..][..size];
        // Among equally near neighbours prefer the previous one; otherwise the chain might never
        // end.
        let mut nearest = before.unwrap_or(usize::MAX);
        let mut best = before.map_or(f32::NEG_INFINITY, |index| row[index]);
        for &other in active.iter().filter(|&&other| other != last) {
            if row[other] > best {
                (nearest, best) = (other, row[other]);
            }
        }
        if Some(nearest) != before {
            chain.push(nearest);
            continue;
        }
        chain.truncate(chain.len() - 2);
        let (into, from) = (last.min(nearest), last.max(nearest));
        merges.push(Merge { into, from, similarity: best });
        active.retain(|&index| index != from);
        let (a, b) = (members[into], members[from]);
        members[into] = a + b;
        for &other in active.iter().filter(|&&other| other != into) {
            let mean = (a * similarities[into * size + other]
                + b * similarities[from * size + other])
                / (a + b);
            similarities[into * size + other] = mean;
            similarities[other * size + into] = mean;
        }
    }
    merges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speakers::cluster::tests::{assert_same_partition, cases};

    #[test]
    fn clusters_match_scipy() {
        for case in cases() {
            let vectors = Vectors::new(case.rows());
            let size = vectors.len();
            let name = &case.name;
            assert_same_partition(&cluster(&vectors, 1, size), &case.average, name);
            let three = 3.min(size);
            assert_same_partition(&cluster(&vectors, three, three), &case.average3, name);
        }
    }
}
