//! Greedy decoding of a token-and-duration transducer (Xu et al. 2023,
//! <https://arxiv.org/abs/2304.06795>), by NeMo's rules (`GreedyTDTInfer` in
//! `nemo/collections/asr/parts/submodules/rnnt_greedy_decoding.py`).

use kernels::scores::{argmax, log_sum_exp};

use crate::recognizer::Error;

/// Most tokens of one frame, as in NeMo and onnx-asr.
pub(super) const MAX_TOKENS_PER_FRAME: usize = 10;

/// A network that scores what comes next.
pub(super) trait Transducer {
    /// Returns the scores of the tokens, the blank, and the durations at a frame, after the tokens taken.
    fn scores(&mut self, frame: usize) -> &[f32];

    /// Adds a token to those taken.
    fn take(&mut self, token: usize);
}

/// A token of the text, at a frame of the encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) id: usize,
    pub(super) frame: usize,
    /// In frames.
    pub(super) duration: usize,
    /// Natural logarithm of the probability among all tokens and the blank.
    pub(super) log_probability: f32,
}

/// Decodes `frames` frames. Scores before that of the `blank` are of tokens, those after it of durations
/// of 0, 1, ... frames. The `forbidden` tokens are not taken; their probability counts nevertheless, so
/// that text which the network takes for improbable has a low one.
///
/// # Errors
/// [`Error::Network`] if a score is not finite.
pub(super) fn greedy(
    network: &mut impl Transducer,
    frames: usize,
    blank: usize,
    forbidden: &[bool],
) -> Result<Vec<Token>, Error> {
    let not_finite = || Error::Network("the scores are not finite".to_owned());
    let (mut found, mut frame, mut count) = (Vec::new(), 0, 0);
    let mut allowed = Vec::new();
    while frame < frames {
        let (tokens, durations) = network.scores(frame).split_at(blank + 1);
        let sum = log_sum_exp(tokens);
        let best = if forbidden.is_empty() {
            argmax(tokens)
        } else {
            allowed.clear();
            let score = |(index, &score): (usize, &f32)| match forbidden.get(index) {
                Some(true) => f32::NEG_INFINITY,
                _ => score,
            };
            allowed.extend(tokens.iter().enumerate().map(score));
            argmax(&allowed)
        };
        let (Some((id, score)), Some((duration, _)), true) =
            (best, argmax(durations), sum.is_finite())
        else {
            return Err(not_finite());
        };
        if id != blank {
            found.push(Token { id, frame, duration, log_probability: score - sum });
            network.take(id);
            count += 1;
        }
        if duration > 0 || id == blank || count == MAX_TOKENS_PER_FRAME {
            frame += duration.max(1);
            count = 0;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLANK: usize = 3;

    /// A network that gives the token and the duration of a list one after the other, then blanks.
    struct Script {
        steps: Vec<(usize, usize)>,
        taken: Vec<usize>,
        frames: Vec<usize>,
        scores: Vec<f32>,
    }

    impl Script {
        fn new(steps: &[(usize, usize)]) -> Self {
            Self { steps: steps.to_vec(), taken: vec![], frames: vec![], scores: vec![] }
        }
    }

    impl Transducer for Script {
        fn scores(&mut self, frame: usize) -> &[f32] {
            let (token, duration) =
                self.steps.get(self.frames.len()).copied().unwrap_or((BLANK, 1));
            self.frames.push(frame);
            self.scores = vec![0.0; BLANK + 1 + 5];
            self.scores[token] = 2.0;
            // The second best, where the best is forbidden.
            self.scores[1] += 1.0;
            self.scores[BLANK + 1 + duration] = 1.0;
            &self.scores
        }

        fn take(&mut self, token: usize) {
            self.taken.push(token);
        }
    }

    #[test]
    fn durations_move_the_frame() {
        let mut network = Script::new(&[(0, 2), (BLANK, 0), (BLANK, 3), (2, 0), (2, 4)]);
        let tokens = greedy(&mut network, 20, BLANK, &[]).expect("finite");
        let found: Vec<_> = tokens.iter().map(|t| (t.id, t.frame, t.duration)).collect();
        assert_eq!(found, [(0, 0, 2), (2, 6, 0), (2, 6, 4)]);
        assert_eq!(network.frames[..6], [0, 2, 3, 6, 6, 10]);
        assert_eq!(network.taken, [0, 2, 2]);
        let sum = (2f32.exp() + 1f32.exp() + 2.0).ln();
        assert!((tokens[0].log_probability - (2.0 - sum)).abs() < 1e-6, "durations do not count");
    }

    #[test]
    fn a_frame_has_ten_tokens_at_most() {
        let mut network = Script::new(&[(0, 0); 25]);
        let tokens = greedy(&mut network, 3, BLANK, &[]).expect("finite");
        let frames: Vec<_> = tokens.iter().map(|token| token.frame).collect();
        assert_eq!(frames, [vec![0; 10], vec![1; 10], vec![2; 5]].concat());
        // A blank begins to count anew, and so does a move.
        let mut network = Script::new(&[&[(0, 0); 9][..], &[(0, 1)], &[(0, 0); 10]].concat());
        let tokens = greedy(&mut network, 3, BLANK, &[]).expect("finite");
        assert_eq!(tokens.iter().filter(|token| token.frame == 1).count(), 10);
    }

    #[test]
    fn the_last_duration_may_exceed_the_frames() {
        let mut network = Script::new(&[(0, 4)]);
        assert_eq!(greedy(&mut network, 1, BLANK, &[]).expect("finite").len(), 1);
        assert_eq!(network.frames, [0]);
        assert_eq!(greedy(&mut Script::new(&[]), 0, BLANK, &[]).expect("finite"), []);
    }

    #[test]
    fn forbidden_tokens_are_not_taken_but_count() {
        let mut network = Script::new(&[(0, 1)]);
        let forbidden = [true, false, false];
        let tokens = greedy(&mut network, 1, BLANK, &forbidden).expect("finite");
        let sum = (2f32.exp() + 1f32.exp() + 2.0).ln();
        assert_eq!(tokens[0].id, 1);
        assert!((tokens[0].log_probability - (1.0 - sum)).abs() < 1e-6);
    }

    #[test]
    fn scores_that_are_not_finite_are_an_error() {
        struct Broken([f32; 6]);
        impl Transducer for Broken {
            fn scores(&mut self, _: usize) -> &[f32] {
                &self.0
            }
            fn take(&mut self, _: usize) {}
        }
        for (index, value) in [(0, f32::NAN), (1, f32::INFINITY), (5, f32::NAN), (4, f32::NAN)] {
            let mut scores = [0.0; 6];
            scores[index] = value;
            let found = greedy(&mut Broken(scores), 3, BLANK, &[]);
            if index < 4 {
                assert!(matches!(found, Err(Error::Network(_))), "{index}");
            }
        }
        let all = [0.0, 0.0, 0.0, 0.0, f32::NAN, f32::NAN];
        assert!(matches!(greedy(&mut Broken(all), 3, BLANK, &[]), Err(Error::Network(_))));
    }
}
