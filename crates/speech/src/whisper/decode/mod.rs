//! Chooses tokens from logits: search, suppression, timestamps, and fallback to higher temperatures.
//!
//! This module does not know the network. Searches run on the trait [`Decoder`].

mod beam;
mod fallback;
mod largest;
mod rules;
mod sample;
#[cfg(test)]
pub(super) mod script;

pub(super) use fallback::{Attempt, Decoding};
pub(super) use rules::Rules;

use kernels::scores;

use crate::recognizer::Error;

/// A decoder over one window of audio with its key/value cache.
pub(super) trait Decoder {
    /// Feeds `tokens` (row-major `[beams, n]`), and writes the logits of the last position,
    /// `[beams, vocabulary]`, to `logits`.
    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error>;

    /// Replaces beam `i` by a copy of the former beam `parents[i]`. The number of beams becomes that
    /// of `parents`.
    fn reorder(&mut self, parents: &[usize]) -> Result<(), Error>;
}

/// A sequence of tokens that a search has found or is extending.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Candidate {
    /// Text tokens and timestamps, without the end of the text.
    pub(super) tokens: Vec<u32>,
    /// Natural log-probability of each token under the rules.
    pub(super) log_probabilities: Vec<f32>,
    /// Sum of `log_probabilities`, and of that of the end of the text if it was reached.
    sum: f32,
}

impl Candidate {
    fn push(&mut self, token: u32, log_probability: f32) {
        self.tokens.push(token);
        self.log_probabilities.push(log_probability);
        self.sum += log_probability;
    }

    fn end(&mut self, log_probability: f32) {
        self.sum += log_probability;
    }

    /// Returns the score by which candidates are ranked: `sum / length^penalty`, or `-inf` for an
    /// empty candidate.
    fn score(&self, length_penalty: f32) -> f32 {
        if self.tokens.is_empty() {
            return f32::NEG_INFINITY;
        }
        self.sum / (self.tokens.len() as f32).powf(length_penalty)
    }

    /// Returns the mean over the tokens and the end of the text.
    fn mean_log_probability(&self) -> f32 {
        self.sum / (self.tokens.len() + 1) as f32
    }
}

/// Returns the probability of `token`.
pub(super) fn probability(logits: &[f32], token: u32) -> f32 {
    let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    (logit - scores::log_sum_exp(logits)).exp()
}

/// Returns the index in `tokens` of the most probable of these tokens, and its probability among
/// them. Returns `None` if no logit is finite.
pub(super) fn arg_max_of(logits: &[f32], tokens: &[u32]) -> Option<(usize, f32)> {
    let among: Vec<f32> =
        tokens.iter().filter_map(|&token| logits.get(token as usize).copied()).collect();
    let (index, logit) = scores::argmax(&among)?;
    Some((index, (logit - scores::log_sum_exp(&among)).exp()))
}

fn not_finite() -> Error {
    Error::Network("the decoder's scores are not finite numbers".into())
}
