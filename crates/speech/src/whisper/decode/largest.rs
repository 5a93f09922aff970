//! The largest values of one row of logits.

/// Appends the indices and values of the `count` largest numbers above `-inf` to `found`, in
/// descending order. Equal numbers keep their order.
pub(super) fn largest(values: &[f32], count: usize, found: &mut Vec<(usize, f32)>) {
    let begin = found.len();
    let mut threshold = f32::NEG_INFINITY;
    for (index, &value) in values.iter().enumerate() {
        if value > threshold {
            if found.len() - begin == count {
                found.pop();
            }
            let place = begin + found[begin..].partition_point(|&(_, other)| other >= value);
            found.insert(place, (index, value));
            if found.len() - begin == count {
                threshold = found[found.len() - 1].1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Vec<f32>> {
        let value = prop_oneof![8 => -60f32..30.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(3.5)];
        prop::collection::vec(value, 0..100)
    }

    proptest! {
        #[test]
        fn largest_equals_a_stable_sort(row in row(), count in 1usize..12) {
            let mut sorted: Vec<(usize, f32)> = row
                .iter()
                .copied()
                .enumerate()
                .filter(|&(_, v)| v > f32::NEG_INFINITY)
                .collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
            sorted.truncate(count);
            let mut found = vec![(7, 99.0)];
            largest(&row, count, &mut found);
            prop_assert_eq!(&found[1..], &sorted[..]);
        }
    }

    #[test]
    fn nan_is_never_chosen() {
        let mut found = Vec::new();
        largest(&[f32::NAN, 1.0, 2.0], 3, &mut found);
        assert_eq!(found, [(2, 2.0), (1, 1.0)]);
    }
}
