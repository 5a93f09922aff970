//! Greedy search and sampling.

use kernels::scores::{argmax, log_sum_exp, maximum, sum_exp};

use super::{Candidate, Decoder, Rules, not_finite};
use crate::recognizer::Error;

/// Samples `count` hypotheses of at most `limit` tokens each at `temperature`. At temperature 0,
/// each token is the most probable one, and there is one hypothesis.
///
/// `logits` must hold the row after the prompt. It is overwritten by later rows. The same `seed`
/// gives the same tokens.
pub(super) fn sample(
    decoder: &mut impl Decoder,
    logits: &mut Vec<f32>,
    rules: &Rules,
    temperature: f32,
    count: usize,
    limit: usize,
    seed: u64,
) -> Result<Vec<Candidate>, Error> {
    let vocabulary = logits.len();
    let count = if temperature > 0.0 { count } else { 1 };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut candidates = vec![Candidate::default(); count];
    // The candidate that each row of the logits belongs to. The first row belongs to all of them.
    let mut alive: Vec<usize> = (0..count).collect();
    let (mut continued, mut parents, mut next) = (Vec::new(), Vec::new(), Vec::new());

    for step in 0..limit {
        continued.clear();
        parents.clear();
        next.clear();
        for (place, &candidate) in alive.iter().enumerate() {
            let row = if step == 0 { 0 } else { place };
            let scores = &mut logits[row * vocabulary..][..vocabulary];
            let hypothesis = &mut candidates[candidate];
            rules.apply(&hypothesis.tokens, scores);
            let token = if temperature > 0.0 {
                draw(scores, temperature, &mut random)
            } else {
                argmax(scores).map(|(token, _)| token)
            }
            .ok_or_else(not_finite)?;
            let log_probability = scores[token] - log_sum_exp(scores);
            if log_probability.is_nan() {
                return Err(not_finite());
            }
            if token as u32 == rules.end_of_text {
                hypothesis.end(log_probability);
            } else {
                hypothesis.push(token as u32, log_probability);
                continued.push(candidate);
                parents.push(row);
                next.push(token as u32);
            }
        }
        if continued.is_empty() || step + 1 == limit {
            break;
        }
        if step == 0 && count > 1 || continued.len() != alive.len() {
            decoder.reorder(&parents)?;
        }
        std::mem::swap(&mut alive, &mut continued);
        decoder.step(&next, logits)?;
    }
    Ok(candidates)
}

/// Draws an index with a probability proportional to `exp(score / temperature)`. Returns `None` if
/// no score is finite.
fn draw(scores: &[f32], temperature: f32, random: &mut fastrand::Rng) -> Option<usize> {
    /// Number of scores whose weights are summed at once. Only the scores of the drawn chunk are
    /// then weighed one by one.
    const CHUNK: usize = 512;
    let largest = maximum(scores);
    if !largest.is_finite() {
        return None;
    }
    let weight = |scores: &[f32]| {
        let forbidden = maximum(scores) == f32::NEG_INFINITY;
        if forbidden { 0.0 } else { f64::from(sum_exp(scores, largest, 1.0 / temperature)) }
    };
    let chunks: Vec<f64> = scores.chunks(CHUNK).map(weight).collect();
    let mut rest = random.f64() * chunks.iter().sum::<f64>();
    let begin = CHUNK * find(chunks.into_iter(), &mut rest)?;
    let within = find(scores[begin..].chunks(1).take(CHUNK).map(weight), &mut rest)?;
    Some(begin + within)
}

/// Returns the index of the weight in which `rest` falls, and subtracts the weights before it from
/// `rest`. If rounding made `rest` too large, returns the last weight that is not zero.
fn find(weights: impl Iterator<Item = f64>, rest: &mut f64) -> Option<usize> {
    let mut last = None;
    for (index, weight) in weights.enumerate().filter(|&(_, weight)| weight > 0.0) {
        last = Some(index);
        if *rest < weight {
            break;
        }
        *rest -= weight;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::decode::script::{self, Script};

    #[test]
    fn greedy_search_takes_the_most_probable_token_and_counts_the_end() {
        let mut decoder = Script::new(|history| match history {
            [] => vec![(20, 0.9), (21, 0.1)],
            [20] => vec![(1, 0.6), (2, 0.4)],
            [20, 1] => vec![(3, 0.7), (2, 0.3)],
            [20, 1, 3] => vec![(25, 1.0)],
            _ => vec![(script::END, 0.8), (25, 0.2)],
        });
        let mut logits = decoder.first();
        let found = sample(&mut decoder, &mut logits, &script::rules(), 0.0, 5, 100, 0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].tokens, [20, 1, 3, 25]);
        let expected: f32 = [0.9f32, 0.6, 0.7, 1.0, 0.8].map(f32::ln).iter().sum();
        assert!((found[0].sum - expected).abs() < 1e-4, "{} {expected}", found[0].sum);
        assert!((found[0].log_probabilities[1] - 0.6f32.ln()).abs() < 1e-4);
        assert!((found[0].mean_log_probability() - expected / 5.0).abs() < 1e-4);
    }

    #[test]
    fn stops_at_the_limit() {
        let mut decoder = Script::new(|history| match history {
            [] => vec![(20, 1.0)],
            _ => vec![(1, 1.0)],
        });
        let mut logits = decoder.first();
        let found = sample(&mut decoder, &mut logits, &script::rules(), 0.0, 1, 7, 0).unwrap();
        assert_eq!(found[0].tokens, [20, 1, 1, 1, 1, 1, 1]);
        assert_eq!(decoder.steps, 6, "a step whose logits are not used was taken");
    }

    #[test]
    fn samples_depend_on_the_seed_and_end_independently() {
        let run = |seed| {
            let mut decoder = Script::new(|history| match history.len() {
                0 => vec![(20, 0.5), (21, 0.5)],
                1 => vec![(1, 0.4), (2, 0.4), (3, 0.2)],
                length => vec![(1, 0.5), (script::END, 0.1 * length as f32)],
            });
            let mut logits = decoder.first();
            sample(&mut decoder, &mut logits, &script::rules(), 1.0, 5, 50, seed).unwrap()
        };
        let found = run(3);
        assert_eq!(found, run(3));
        assert_ne!(found, run(4));
        assert_eq!(found.len(), 5);
        assert!(found.iter().any(|other| other.tokens.len() != found[0].tokens.len()));
        for candidate in found {
            assert_eq!(candidate.tokens.len(), candidate.log_probabilities.len());
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.5f32.ln(), f32::NEG_INFINITY, 0.3f32.ln(), 0.2f32.ln()];
        let mut random = fastrand::Rng::with_seed(1);
        let mut count = [0f64; 4];
        for _ in 0..20_000 {
            count[draw(&logits, 1.0, &mut random).unwrap()] += 1.0 / 20_000.0;
        }
        assert_eq!(count[1], 0.0);
        for (got, expected) in count.iter().zip([0.5, 0.0, 0.3, 0.2]) {
            assert!((got - expected).abs() < 0.02, "{count:?}");
        }
        // Half the temperature squares the ratios: 25 : 9 : 4.
        let cold = (0..20_000).filter(|_| draw(&logits, 0.5, &mut random) == Some(0)).count();
        assert!((cold as f64 / 20_000.0 - 25.0 / 38.0).abs() < 0.02);
    }

    #[test]
    fn nan_scores_are_an_error() {
        let mut decoder = Script::new(|_| vec![(20, f32::NAN)]);
        for temperature in [0.0, 1.0] {
            let mut logits = vec![f32::NAN; script::VOCABULARY];
            let found = sample(&mut decoder, &mut logits, &script::rules(), temperature, 2, 5, 0);
            assert!(matches!(found, Err(Error::Network(_))));
        }
    }
}
