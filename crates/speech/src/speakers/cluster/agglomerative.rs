//! Average linkage on cosine similarities, as 3D-Speaker's `AHCluster`: the two most similar
//! clusters become one until no two are similar enough.
//!
//! By chains of nearest neighbours (Müllner, *Modern hierarchical, agglomerative clustering
//! algorithms*, 2011), which takes n^2 steps and not n^3.

use super::Vectors;

/// Mean cosine above which two clusters are one speaker: 3D-Speaker's.
const SIMILAR: f32 = 0.4;

/// Two clusters become one. Clusters go by their first member.
struct Merge {
    into: usize,
    from: usize,
    similarity: f32,
}

/// Labels for unit vectors, of `min` to `max` clusters.
pub(super) fn cluster(vectors: &Vectors, min: usize, max: usize) -> Vec<usize> {
    let size = vectors.len();
    let mut merges = dendrogram(vectors);
    // A cluster's parts merge before it does, at a similarity that is not lower.
    merges.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let mut parents: Vec<usize> = (0..size).collect();
    let mut clusters = size;
    for merge in &merges {
        if clusters <= min || (clusters <= max && merge.similarity < SIMILAR) {
            break;
        }
        let (a, b) = (root(&parents, merge.into), root(&parents, merge.from));
        parents[a.max(b)] = a.min(b);
        clusters -= 1;
    }
    let mut names = vec![usize::MAX; size];
    let mut next = 0;
    (0..size)
        .map(|i| {
            let name = &mut names[root(&parents, i)];
            if *name == usize::MAX {
                *name = next;
                next += 1;
            }
            *name
        })
        .collect()
}

fn root(parents: &[usize], mut index: usize) -> usize {
    while parents[index] != index {
        index = parents[index];
    }
    index
}

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
    let mut alive: Vec<usize> = (0..size).collect();
    let mut merges = Vec::with_capacity(size.saturating_sub(1));
    let mut chain: Vec<usize> = Vec::new();
    while alive.len() > 1 {
        let last = *chain.last().unwrap_or(&alive[0]);
        if chain.is_empty() {
            chain.push(last);
        }
        let before = chain.len().checked_sub(2).map(|index| chain[index]);
        let row = &similarities[last * size..][..size];
        // Of equal neighbours the one we came from, or the chain would never end.
        let mut nearest = before.unwrap_or(usize::MAX);
        let mut best = before.map_or(f32::NEG_INFINITY, |index| row[index]);
        for &other in alive.iter().filter(|&&other| other != last) {
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
        alive.retain(|&index| index != from);
        let (a, b) = (members[into], members[from]);
        members[into] = a + b;
        for &other in alive.iter().filter(|&&other| other != into) {
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
    fn clusters_are_those_of_scipy() {
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
