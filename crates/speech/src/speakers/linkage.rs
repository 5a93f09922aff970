//! Hierarchical clustering by average linkage (UPGMA; Sokal and Michener 1958).

/// A dendrogram: the pairs of clusters that become one, from the most to the least similar.
#[derive(Debug)]
pub(super) struct Dendrogram {
    items: usize,
    /// An item of each of the two clusters, and their similarity.
    merges: Vec<(u32, u32, f32)>,
}

/// Clusters items by their similarities, a symmetric matrix `[items, items]` whose diagonal does not matter. The
/// similarity of two clusters is the mean of all pairs, weighted by the weights of the items. Deterministic:
/// the first of equal ones. O(items²), by chains of nearest neighbours (Murtagh 1983).
pub(super) fn average_linkage(mut similarities: Vec<f32>, weights: &[f32]) -> Dendrogram {
    let items = weights.len();
    debug_assert_eq!(similarities.len(), items * items, "similarities");
    let mut weights = weights.to_vec();
    let mut active: Vec<usize> = (0..items).collect();
    let mut chain: Vec<usize> = Vec::new();
    let mut merges = Vec::with_capacity(items.saturating_sub(1));
    while active.len() > 1 {
        let top = *chain.last().unwrap_or(&active[0]);
        if chain.is_empty() {
            chain.push(top);
        }
        let before = chain.len().checked_sub(2).map(|index| chain[index]);
        let row = &similarities[top * items..][..items];
        // The one before wins among equal ones, so that the chain ends.
        let mut nearest = before.map(|other| (other, row[other]));
        for &other in &active {
            if other != top && nearest.is_none_or(|(_, similarity)| row[other] > similarity) {
                nearest = Some((other, row[other]));
            }
        }
        let Some((other, similarity)) = nearest else { break };
        if Some(other) != before {
            chain.push(other);
            continue;
        }
        chain.truncate(chain.len() - 2);
        let (kept, gone) = (top.min(other), top.max(other));
        merges.push((kept as u32, gone as u32, similarity));
        let (w_kept, w_gone) = (weights[kept], weights[gone]);
        let total = (w_kept + w_gone).max(f32::MIN_POSITIVE);
        active.retain(|&item| item != gone);
        for &item in &active {
            if item != kept {
                let (a, b) = (similarities[item * items + kept], similarities[item * items + gone]);
                let mean = (a * w_kept + b * w_gone) / total;
                similarities[item * items + kept] = mean;
                similarities[kept * items + item] = mean;
            }
        }
        weights[kept] = w_kept + w_gone;
    }
    // Chains find pairs in another order. A stable sort, so that what depends on another comes after it.
    merges.sort_by(|a, b| b.2.total_cmp(&a.2));
    Dendrogram { items, merges }
}

impl Dendrogram {
    /// Returns how many merges have at least this similarity.
    pub(super) fn merges_above(&self, similarity: f32) -> usize {
        self.merges.partition_point(|merge| merge.2 >= similarity)
    }

    /// Returns the number of merges.
    pub(super) fn len(&self) -> usize {
        self.merges.len()
    }

    /// Returns the cluster of each item after the first `merges` merges. Clusters are numbered from 0 by their
    /// first item.
    pub(super) fn cut(&self, merges: usize) -> Vec<usize> {
        let mut parents: Vec<usize> = (0..self.items).collect();
        fn root(parents: &mut [usize], mut item: usize) -> usize {
            while parents[item] != item {
                parents[item] = parents[parents[item]];
                item = parents[item];
            }
            item
        }
        for &(a, b, _) in &self.merges[..merges.min(self.merges.len())] {
            let (a, b) = (root(&mut parents, a as usize), root(&mut parents, b as usize));
            // The first item of a cluster is its root.
            parents[a.max(b)] = a.min(b);
        }
        let mut numbers = vec![usize::MAX; self.items];
        let mut next = 0;
        (0..self.items)
            .map(|item| {
                let root = root(&mut parents, item);
                if numbers[root] == usize::MAX {
                    numbers[root] = next;
                    next += 1;
                }
                numbers[root]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Merges the most similar pair again and again.
    fn reference(similarities: &[f32], weights: &[f32], threshold: f32) -> Vec<usize> {
        let items = weights.len();
        let mut clusters: Vec<Vec<usize>> = (0..items).map(|item| vec![item]).collect();
        loop {
            let mut best: Option<(usize, usize, f64)> = None;
            for a in 0..clusters.len() {
                for b in a + 1..clusters.len() {
                    let (mut sum, mut total) = (0.0, 0.0);
                    for &i in &clusters[a] {
                        for &j in &clusters[b] {
                            let weight = f64::from(weights[i]) * f64::from(weights[j]);
                            sum += f64::from(similarities[i * items + j]) * weight;
                            total += weight;
                        }
                    }
                    if best.is_none_or(|(_, _, similarity)| sum / total > similarity) {
                        best = Some((a, b, sum / total));
                    }
                }
            }
            match best {
                Some((a, b, similarity)) if similarity >= f64::from(threshold) => {
                    let gone = clusters.remove(b);
                    clusters[a].extend(gone);
                }
                _ => break,
            }
        }
        clusters.iter_mut().for_each(|cluster| cluster.sort_unstable());
        clusters.sort();
        let mut labels = vec![0; items];
        for (label, cluster) in clusters.iter().enumerate() {
            cluster.iter().for_each(|&item| labels[item] = label);
        }
        labels
    }

    proptest! {
        #[test]
        fn chains_of_neighbours_find_what_the_plain_algorithm_finds(
            items in 1usize..14,
            values in prop::collection::vec(-1.0f32..1.0, 14 * 14),
            weights in prop::collection::vec(0.2f32..1.5, 14),
            threshold in -0.5f32..0.9,
        ) {
            let mut similarities = vec![0.0; items * items];
            for i in 0..items {
                for j in 0..i {
                    similarities[i * items + j] = values[i * 14 + j];
                    similarities[j * items + i] = values[i * 14 + j];
                }
            }
            let weights = &weights[..items];
            let expected = reference(&similarities, weights, threshold);
            let dendrogram = average_linkage(similarities, weights);
            prop_assert_eq!(dendrogram.len(), items - 1);
            prop_assert_eq!(dendrogram.cut(dendrogram.merges_above(threshold)), expected);
        }
    }

    #[test]
    fn no_item_one_item_and_equal_ones() {
        let none = average_linkage(Vec::new(), &[]);
        assert!(none.cut(none.merges_above(0.0)).is_empty());
        let one = average_linkage(vec![1.0], &[1.0]);
        assert_eq!(one.cut(5), [0]);
        let equal = average_linkage(vec![0.5; 16], &[1.0; 4]);
        assert_eq!(equal.cut(equal.merges_above(0.5)), [0; 4]);
        assert_eq!(equal.cut(equal.merges_above(0.6)), [0, 1, 2, 3]);
        assert_eq!(equal.cut(1), [0, 0, 1, 2]);
    }

    #[test]
    fn what_is_not_finite_does_not_hang() {
        let dendrogram = average_linkage(vec![f32::NAN; 25], &[1.0; 5]);
        assert_eq!(dendrogram.cut(dendrogram.len()).len(), 5);
    }
}
