//! From the logits of frames to tokens: the likeliest class of each, runs joined, blanks dropped.

use std::ops::Range;

use kernels::scores;

use crate::recognizer::Error;

/// A class other than the blank.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) id: usize,
    /// Where it is the likeliest.
    pub(super) frames: Range<usize>,
    /// Natural; at the frame of these where it is highest.
    pub(super) log_probability: f32,
}

/// Greedy search (Graves et al. 2006) over `logits`, row-major `[_, classes]`.
///
/// # Errors
/// [`Error::Network`] if a logit is not a number.
pub(super) fn greedy(logits: &[f32], classes: usize, blank: usize) -> Result<Vec<Token>, Error> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut before = blank;
    for (frame, logits) in logits.chunks_exact(classes).enumerate() {
        let (id, log_probability) = likeliest(logits)?;
        if id != blank {
            match tokens.last_mut() {
                Some(last) if id == before => {
                    last.frames.end = frame + 1;
                    last.log_probability = last.log_probability.max(log_probability);
                }
                _ => tokens.push(Token { id, frames: frame..frame + 1, log_probability }),
            }
        }
        before = id;
    }
    Ok(tokens)
}

/// The first of the likeliest classes, and its log-probability.
fn likeliest(logits: &[f32]) -> Result<(usize, f32), Error> {
    scores::arg_max(logits)
        .map(|(class, logit)| (class, -scores::sum_exp(logits, logit, 1.0).ln()))
        // The sum is not finite, either, if one of them is not.
        .filter(|(_, log_probability)| log_probability.is_finite())
        .ok_or_else(|| Error::Network("the network computes values that are no numbers".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_blanks_dropped() {
        // Classes by frame: 1 1 0 1 2 2 0 0 2.
        let likely = [1, 1, 0, 1, 2, 2, 0, 0, 2];
        let mut logits = vec![0.0; likely.len() * 3];
        for (frame, &class) in likely.iter().enumerate() {
            logits[frame * 3 + class] = 1.0 + frame as f32;
        }
        let tokens = greedy(&logits, 3, 0).expect("numbers");
        let found: Vec<_> =
            tokens.iter().map(|token| (token.id, token.frames.start, token.frames.end)).collect();
        assert_eq!(found, [(1, 0, 2), (1, 3, 4), (2, 4, 6), (2, 8, 9)]);
        // Softmax of 2 (the second frame) beside two zeros.
        let expected = (2f32.exp() / (2f32.exp() + 2.0)).ln();
        assert!((tokens[0].log_probability - expected).abs() < 1e-6);
        assert_eq!(greedy(&[], 3, 0).expect("nothing"), []);
        assert!(greedy(&[0.0, f32::NAN, 0.0], 3, 0).is_err());
        assert_eq!(greedy(&[5.0, 5.0], 2, 0).expect("the first of equals"), []);
    }
}
