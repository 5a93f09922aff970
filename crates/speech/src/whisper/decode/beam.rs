//! Beam search, as CTranslate2 does it (`BeamSearch::search`, src/decoding.cc).

use kernels::scores::log_sum_exp;

use super::{Candidate, Decoder, Rules, largest::largest, not_finite};
use crate::recognizer::Error;

/// Width and end of the search, see `WhisperOptions`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Width {
    pub(super) beams: usize,
    pub(super) patience: f32,
    pub(super) length_penalty: f32,
}

/// A hypothesis of the previous step with a token that may follow it.
struct Extension {
    parent: usize,
    token: u32,
    log_probability: f32,
    sum: f32,
}

/// Returns the best hypothesis of at most `limit` tokens. `logits` as in `sample`.
pub(super) fn beam_search(
    decoder: &mut impl Decoder,
    logits: &mut Vec<f32>,
    rules: &Rules,
    width: Width,
    limit: usize,
) -> Result<Candidate, Error> {
    let vocabulary = logits.len();
    let enough = ((width.beams as f32 * width.patience).round() as usize).max(1);
    let mut beams = vec![Candidate::default()];
    let mut finished: Vec<Candidate> = Vec::new();
    let mut extensions = Vec::new();

    for step in 0..limit {
        // Take twice as many extensions as there are beams, so that enough are left to continue
        // with if some of them end here.
        extend(&beams, logits, vocabulary, rules, width.beams * 2, &mut extensions);
        let last_step = step + 1 == limit;
        let ends = |extension: &Extension| extension.token == rules.end_of_text;
        let (front, spare) = extensions.split_at(extensions.len().min(width.beams));
        let mut spare = spare.iter().filter(|extension| !ends(extension));
        let mut kept: Vec<&Extension> = Vec::with_capacity(width.beams);
        for extension in front {
            if !last_step && !ends(extension) {
                kept.push(extension);
                continue;
            }
            let mut candidate = beams[extension.parent].clone();
            if ends(extension) {
                candidate.end(extension.log_probability);
            } else {
                candidate.push(extension.token, extension.log_probability);
            }
            finished.push(candidate);
            kept.extend(spare.next());
        }
        if last_step || finished.len() >= enough || kept.is_empty() {
            break;
        }
        let parents: Vec<usize> = kept.iter().map(|extension| extension.parent).collect();
        let tokens: Vec<u32> = kept.iter().map(|extension| extension.token).collect();
        let fed = beams.len();
        beams = kept
            .iter()
            .map(|extension| {
                let mut candidate = beams[extension.parent].clone();
                candidate.push(extension.token, extension.log_probability);
                candidate
            })
            .collect();
        if !parents.iter().copied().eq(0..fed) {
            decoder.reorder(&parents)?;
        }
        decoder.step(&tokens, logits)?;
    }
    finished
        .into_iter()
        // Of equal scores, the first one found is taken.
        .reduce(|best, other| {
            let better = other.score(width.length_penalty) > best.score(width.length_penalty);
            if better { other } else { best }
        })
        .ok_or_else(not_finite)
}

/// Finds the `count` most probable extensions of all beams, best first.
fn extend(
    beams: &[Candidate],
    logits: &mut [f32],
    vocabulary: usize,
    rules: &Rules,
    count: usize,
    extensions: &mut Vec<Extension>,
) {
    extensions.clear();
    let mut found = Vec::with_capacity(count + 1);
    for (parent, (beam, row)) in beams.iter().zip(logits.chunks_exact_mut(vocabulary)).enumerate() {
        rules.apply(&beam.tokens, row);
        let normalizer = log_sum_exp(row);
        // A row that contains NaN ends its beam. If all rows do, the search fails.
        if normalizer.is_nan() {
            continue;
        }
        found.clear();
        largest(row, count, &mut found);
        extensions.extend(found.iter().map(|&(token, logit)| {
            let log_probability = logit - normalizer;
            let sum = beam.sum + log_probability;
            Extension { parent, token: token as u32, log_probability, sum }
        }));
    }
    extensions.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    extensions.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::decode::{
        sample::sample,
        script::{self, Script},
    };

    fn width(beams: usize) -> Width {
        Width { beams, patience: 1.0, length_penalty: 1.0 }
    }

    /// The more probable first word is followed by many alternatives, the other by a certain end.
    fn garden_path(history: &[u32]) -> Vec<(u32, f32)> {
        match history {
            [] => vec![(20, 1.0)],
            [20] => vec![(1, 0.6), (2, 0.4)],
            [20, 1] => vec![(3, 0.35), (4, 0.33), (5, 0.32)],
            [20, 2] => vec![(6, 1.0)],
            [20, _, _] => vec![(25, 1.0)],
            _ => vec![(script::END, 1.0)],
        }
    }

    #[test]
    fn finds_a_better_hypothesis_than_greedy_search() {
        let mut decoder = Script::new(garden_path);
        let mut logits = decoder.first();
        let greedy = sample(&mut decoder, &mut logits, &script::rules(), 0.0, 1, 50, 0).unwrap();
        assert_eq!(greedy[0].tokens, [20, 1, 3, 25]);

        for beams in [2, 3, 5] {
            let mut decoder = Script::new(garden_path);
            let mut logits = decoder.first();
            let best =
                beam_search(&mut decoder, &mut logits, &script::rules(), width(beams), 50).unwrap();
            assert_eq!(best.tokens, [20, 2, 6, 25], "{beams} beams");
            assert!((best.sum - 0.4f32.ln()).abs() < 1e-4);
            assert!((best.log_probabilities[1] - 0.4f32.ln()).abs() < 1e-4);
        }
    }

    /// Compares with all possible sequences, for a beam wide enough to hold them.
    #[test]
    fn a_wide_beam_finds_the_best_sequence() {
        fn choices(history: &[u32]) -> Vec<(u32, f32)> {
            match history {
                [] => vec![(20, 0.7), (21, 0.3)],
                [first, rest @ ..] if rest.len() < 3 => {
                    let tilt = (first * 7 + rest.iter().sum::<u32>() * 3) % 5;
                    vec![(1 + tilt, 0.45), (6, 0.35), (7, 0.2)]
                }
                [_, _, _, _] => vec![(28, 1.0)],
                _ => vec![(script::END, 1.0)],
            }
        }
        let mut all = vec![(Vec::new(), 0f32)];
        for _ in 0..5 {
            all = all
                .into_iter()
                .flat_map(|(history, sum): (Vec<u32>, f32)| {
                    choices(&history).into_iter().map(move |(token, probability)| {
                        let mut longer = history.clone();
                        longer.push(token);
                        (longer, sum + probability.ln())
                    })
                })
                .collect();
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut decoder = Script::new(choices);
        let mut logits = decoder.first();
        let wide = Width { beams: 60, patience: 1.0, length_penalty: 1.0 };
        let best = beam_search(&mut decoder, &mut logits, &script::rules(), wide, 50).unwrap();
        assert!((best.sum - all[0].1).abs() < 1e-4);
    }

    #[test]
    fn the_limit_ends_open_hypotheses() {
        let mut decoder = Script::new(|history| match history {
            [] => vec![(20, 1.0)],
            _ => vec![(1, 0.7), (2, 0.3)],
        });
        let mut logits = decoder.first();
        let best = beam_search(&mut decoder, &mut logits, &script::rules(), width(3), 4).unwrap();
        assert_eq!(best.tokens, [20, 1, 1, 1]);
        assert_eq!(decoder.steps, 3);
    }

    #[test]
    fn length_penalty_chooses_between_short_and_long() {
        let choices = |history: &[u32]| match history {
            [] => vec![(20, 1.0)],
            [20] => vec![(1, 0.5), (2, 0.5)],
            [20, 1] => vec![(21, 1.0)],
            [20, 1, 21] => vec![(script::END, 1.0)],
            [20, 2, .., 6] => vec![(21, 1.0)],
            [20, 2, rest @ ..] if rest.len() < 6 => {
                vec![([3, 4, 5, 3, 4, 6][rest.len()], 0.9), (9, 0.1)]
            }
            _ => vec![(script::END, 1.0)],
        };
        let best = |length_penalty| {
            let mut decoder = Script::new(choices);
            let mut logits = decoder.first();
            let width = Width { beams: 3, patience: 1.0, length_penalty };
            beam_search(&mut decoder, &mut logits, &script::rules(), width, 50).unwrap()
        };
        assert_eq!(best(0.0).tokens, [20, 1, 21]);
        assert_eq!(best(1.0).tokens[1], 2);
    }

    #[test]
    fn nan_scores_are_an_error() {
        let mut decoder = Script::new(|_| vec![]);
        let mut logits = vec![f32::NAN; script::VOCABULARY];
        let found = beam_search(&mut decoder, &mut logits, &script::rules(), width(2), 5);
        assert!(matches!(found, Err(Error::Network(_))));
    }
}
