//! Continuous integrate-and-fire (<https://arxiv.org/abs/1905.11235>): integrates encoder frames by
//! their weights into one embedding per token.
//!
//! ONNX needs loops for this, which the engine does not run. Both variants that FunASR exports are
//! implemented here, each with its own rounding (`funasr/models/paraformer/cif_predictor.py`).

/// The two variants that FunASR's exporter writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CifVariant {
    /// `cif_export`: frame by frame, in loops; all exports before 2025, and those with timestamps.
    Sequential,
    /// `cif_v1_export`: by cumulative sums.
    Cumulative,
}

/// Embeddings of the tokens, and the frames at which they fired.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct CifOutput {
    /// Row-major `[tokens, width]`.
    pub(super) embeddings: Vec<f32>,
    /// Number of tokens: the integer part of the sum of all weights.
    pub(super) tokens: usize,
    /// Frames at which tokens fired. Rounding may make their number differ from `tokens` by one.
    pub(super) fires: Vec<usize>,
}

impl CifVariant {
    /// Integrates `hidden`, row-major `[frames, width]`, by `weights`: one per frame, and one for
    /// the tail, an all-zero frame after the last. A remainder below 1 at the end does not fire.
    pub(super) fn integrate(self, hidden: &[f32], weights: &[f32], width: usize) -> CifOutput {
        debug_assert_eq!(hidden.len() + width, weights.len() * width);
        // FunASR sums in f32, in an order that depends on its runtime. A sum in f64 is the closest
        // to all of them.
        let sum = weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() as f32;
        let tokens = if sum.is_finite() { sum.max(0.0) as usize } else { 0 };
        let (mut embeddings, fires) = match self {
            Self::Sequential => sequential(hidden, weights, width),
            Self::Cumulative => cumulative(hidden, weights, width),
        };
        let tokens = match self {
            // The exported decoder masks by `tokens`, and fails if there are fewer rows.
            Self::Sequential => tokens.min(fires.len()),
            // The export allocates a row for each of `tokens`; rows that did not fire stay zero.
            Self::Cumulative => tokens.min(weights.len()),
        };
        embeddings.resize(tokens * width, 0.0);
        CifOutput { embeddings, tokens, fires }
    }
}

fn sequential(hidden: &[f32], weights: &[f32], width: usize) -> (Vec<f32>, Vec<usize>) {
    let (mut embeddings, mut fires) = (Vec::new(), Vec::new());
    let mut integral = 0.0f32;
    let mut frame = vec![0.0f32; width];
    for (index, &weight) in weights.iter().enumerate() {
        let missing = 1.0 - integral;
        integral += weight;
        let state = state(hidden, index, width);
        if integral < 1.0 || integral.is_nan() {
            add_weighted(&mut frame, weight, state);
            continue;
        }
        integral -= 1.0;
        add_weighted(&mut frame, missing, state);
        embeddings.extend_from_slice(&frame);
        fires.push(index);
        frame.fill(0.0);
        add_weighted(&mut frame, weight - missing, state);
    }
    (embeddings, fires)
}

fn cumulative(hidden: &[f32], weights: &[f32], width: usize) -> (Vec<f32>, Vec<usize>) {
    let (mut embeddings, mut fires) = (Vec::new(), Vec::new());
    let (mut sum, mut floor_before) = (0.0f64, 0.0f32);
    // Sum of weight times hidden state up to this frame, and up to the last fire.
    let mut integral = vec![0.0f32; width];
    let mut integral_before = vec![0.0f32; width];
    let mut remainder_before = vec![0.0f32; width];
    for (index, &weight) in weights.iter().enumerate() {
        let state = state(hidden, index, width);
        add_weighted(&mut integral, weight, state);
        sum += f64::from(weight);
        let rounded = sum as f32;
        let floor = rounded.floor();
        if floor > floor_before {
            // The export computes the remainder of 1 + sum - floor, which rounds differently from
            // sum - floor.
            let fire = 1.0 + rounded - floor;
            let remainder = fire - fire.floor();
            for column in 0..width {
                let left = state.map_or(0.0, |state| remainder * state[column]);
                let between = integral[column] - integral_before[column];
                embeddings.push(between + remainder_before[column] - left);
                remainder_before[column] = left;
            }
            integral_before.copy_from_slice(&integral);
            fires.push(index);
        }
        floor_before = floor;
    }
    (embeddings, fires)
}

/// Returns the hidden state of a frame; `None` for the tail, which is zero.
fn state(hidden: &[f32], frame: usize, width: usize) -> Option<&[f32]> {
    hidden.get(frame * width..(frame + 1) * width)
}

/// Adds `weight` times `state` to `sum`.
fn add_weighted(sum: &mut [f32], weight: f32, state: Option<&[f32]>) {
    if let Some(state) = state {
        sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += weight * value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VARIANTS: [CifVariant; 2] = [CifVariant::Sequential, CifVariant::Cumulative];

    #[test]
    fn tokens_integrate_the_frames_between_fires() {
        // Tokens: 0.5 a + 0.5 b, 0.25 b + 0.75 c; 0.25 c and 0.25 of the tail remain.
        let weights = [0.5, 0.75, 1.0, 0.25];
        let hidden = [1.0, 10.0, 100.0];
        for variant in VARIANTS {
            let fired = variant.integrate(&hidden, &weights, 1);
            assert_eq!(fired.embeddings, [5.5, 77.5], "{variant:?}");
            assert_eq!((fired.tokens, fired.fires), (2, vec![1, 2]));
        }
    }

    #[test]
    fn handles_unusual_weights() {
        for variant in VARIANTS {
            let of = |weights: &[f32]| variant.integrate(&vec![1.0; weights.len() - 1], weights, 1);
            assert_eq!(of(&[0.45]), CifOutput::default(), "no frame");
            assert_eq!(of(&[0.1, 0.45]), CifOutput::default(), "no token");
            let tail = of(&[0.75, 0.25]);
            assert_eq!((tail.embeddings, tail.fires), (vec![0.75], vec![1]), "fires in the tail");
            for bad in [f32::NAN, f32::INFINITY] {
                assert_eq!(of(&[0.9, bad, 0.9, 0.45]).tokens, 0, "{variant:?} {bad}");
            }
        }
    }

    proptest! {
        #[test]
        fn both_styles_agree(
            weights in prop::collection::vec(0.0f32..1.0, 1..300),
            seed in any::<u64>(),
        ) {
            const WIDTH: usize = 3;
            let mut random = fastrand::Rng::with_seed(seed);
            let hidden: Vec<f32> =
                (0..(weights.len() - 1) * WIDTH).map(|_| random.f32() * 2.0 - 1.0).collect();
            let [one, other] = VARIANTS.map(|variant| variant.integrate(&hidden, &weights, WIDTH));
            // A sum close to an integer may round either way.
            let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            prop_assume!((sum - sum.round()).abs() > 1e-3);
            prop_assert_eq!(one.tokens, other.tokens);
            prop_assert_eq!(one.fires.len(), one.tokens);
            prop_assert_eq!(one.embeddings.len(), one.tokens * WIDTH);
            for (a, b) in one.embeddings.iter().zip(&other.embeddings) {
                prop_assert!((a - b).abs() < 1e-3, "{} {}", a, b);
            }
        }
    }
}
