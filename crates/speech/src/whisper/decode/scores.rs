//! Reductions over one row of logits. They run once per token over some 52,000 numbers, so they
//! are written in lanes that the compiler turns into vector instructions.

const LANES: usize = 16;

/// Largest number; `-inf` for none. NaNs are passed over.
pub(super) fn maximum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `ln(sum(exp(values)))`; `-inf` if there is nothing above `-inf`.
pub(super) fn log_sum_exp(values: &[f32]) -> f32 {
    let largest = maximum(values);
    if !largest.is_finite() {
        return largest;
    }
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += exp_of_negative(value - largest);
        }
    }
    let sum: f32 = lanes.iter().sum();
    let rest: f32 = rest.iter().map(|&value| exp_of_negative(value - largest)).sum();
    largest + (sum + rest).ln()
}

/// Index and value of the largest number, the first of equals; `None` if there is nothing above
/// `-inf`.
pub(super) fn arg_max(values: &[f32]) -> Option<(usize, f32)> {
    let largest = maximum(values);
    let index = values.iter().position(|&value| value == largest)?;
    (largest > f32::NEG_INFINITY).then_some((index, largest))
}

/// Adds the `count` largest numbers above `-inf` to `found`, best first, the first of equals
/// before the others.
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

/// `exp(x)` for `x <= 0`, to 2 units in the last place down to `exp(-87)`, where it stays.
///
/// `x = n ln 2 + r` with `|r| <= ln(2) / 2`; `exp(r)` is Cephes' polynomial `expf`, and `2^n` is
/// put together from its bits.
#[inline(always)]
pub(super) fn exp_of_negative(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer without a branch.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        polynomial = polynomial * r + coefficient;
    }
    let power_of_two = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (polynomial * r * r + r + 1.0) * power_of_two
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Vec<f32>> {
        let value = prop_oneof![8 => -60f32..30.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(3.5)];
        prop::collection::vec(value, 0..100)
    }

    #[test]
    fn exp_is_close_over_its_whole_range() {
        for step in 0..=870_000 {
            let x = -(step as f32) * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp_of_negative(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): relative error {error}");
        }
        assert!(exp_of_negative(f32::NEG_INFINITY) < 2e-38);
    }

    proptest! {
        #[test]
        fn reductions_equal_the_plain_ones(row in row()) {
            let plain = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(maximum(&row), plain);
            prop_assert_eq!(
                arg_max(&row),
                row.iter().position(|&v| v == plain && v > f32::NEG_INFINITY).map(|i| (i, plain))
            );
            let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
            let got = log_sum_exp(&row);
            prop_assert!(
                (sum == 0.0 && got == f32::NEG_INFINITY)
                    || (f64::from(got) - sum.ln()).abs() < 1e-5
            );
        }

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
        assert_eq!(arg_max(&[f32::NAN, 1.0, f32::NAN]), Some((1, 1.0)));
        assert_eq!(arg_max(&[f32::NAN; 40]), None);
        let mut found = Vec::new();
        largest(&[f32::NAN, 1.0, 2.0], 3, &mut found);
        assert_eq!(found, [(2, 2.0), (1, 1.0)]);
    }
}
