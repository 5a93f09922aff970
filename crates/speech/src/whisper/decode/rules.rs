//! Rules on the order of tokens: suppressed tokens and the grammar of timestamps.

use kernels::scores::{log_sum_exp, maximum};

/// Rules on the tokens of one model. Forbidden tokens get the logit `-inf`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::whisper) struct Rules {
    /// Tokens below this one are text.
    pub end_of_text: u32,
    pub no_timestamps: u32,
    /// Timestamps are the tokens from here to the end of the vocabulary, each 0.02 s after the one
    /// before.
    pub timestamp_begin: u32,
    /// The first timestamp is at most this many steps of 0.02 s.
    pub max_initial_timestamp: u32,
    /// Tokens that are never allowed: symbols that are not spoken, and tokens that belong in prompts.
    pub suppressed: Vec<u32>,
    /// Tokens that are not allowed first: the blank and the end of the text.
    pub suppressed_at_begin: Vec<u32>,
}

impl Rules {
    /// Forbids the tokens in `logits` (one row of the vocabulary) that must not follow `generated`.
    ///
    /// These are the rules of OpenAI's `SuppressBlank`, `SuppressTokens` and `ApplyTimestampRules`
    /// (decoding.py): The first token is a timestamp. Timestamps come in pairs, except before the
    /// end of the text. They never decrease, and a span of text never has length zero. If all
    /// timestamps together are more probable than any one text token, the next token is a timestamp.
    pub(in crate::whisper) fn apply(&self, generated: &[u32], logits: &mut [f32]) {
        let vocabulary = logits.len();
        let timestamps = (self.timestamp_begin as usize).min(vocabulary);
        forbid(logits, &self.suppressed);
        forbid(logits, &[self.no_timestamps]);

        let is_timestamp = |token: &u32| *token >= self.timestamp_begin;
        let Some(last) = generated.last() else {
            forbid(logits, &self.suppressed_at_begin);
            let end = timestamps + self.max_initial_timestamp as usize + 1;
            logits[..timestamps].fill(f32::NEG_INFINITY);
            logits[end.min(vocabulary)..].fill(f32::NEG_INFINITY);
            return;
        };
        let mut closed = false;
        if is_timestamp(last) {
            closed = generated.len() > 1 && !is_timestamp(&generated[generated.len() - 2]);
            if !closed {
                logits[timestamps..].fill(f32::NEG_INFINITY);
                return;
            }
            logits[..timestamps.min(self.end_of_text as usize)].fill(f32::NEG_INFINITY);
        }
        if let Some(&latest) = generated.iter().rev().find(|token| is_timestamp(token)) {
            // Only the timestamp that closes a span may be repeated: the next span starts with it.
            let first = latest as usize + usize::from(!closed);
            logits[timestamps..first.clamp(timestamps, vocabulary)].fill(f32::NEG_INFINITY);
        }
        if log_sum_exp(&logits[timestamps..]) > maximum(&logits[..timestamps]) {
            logits[..timestamps].fill(f32::NEG_INFINITY);
        }
    }
}

fn forbid(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules for a vocabulary with text 0..10, end of text 10, no-timestamps 11, timestamps 12..32.
    fn rules() -> Rules {
        Rules {
            end_of_text: 10,
            no_timestamps: 11,
            timestamp_begin: 12,
            max_initial_timestamp: 3,
            suppressed: vec![4, 999],
            suppressed_at_begin: vec![0, 10],
        }
    }

    /// Returns the tokens allowed after `generated`, where logits are 9 for `raised` and else 0.
    fn allowed(generated: &[u32], raised: &[usize]) -> Vec<usize> {
        let mut logits = [0f32; 32];
        raised.iter().for_each(|&token| logits[token] = 9.0);
        rules().apply(generated, &mut logits);
        (0..32).filter(|&token| logits[token] > f32::NEG_INFINITY).collect()
    }

    fn text_without(left_out: &[usize]) -> Vec<usize> {
        (0..11).filter(|token| !left_out.contains(token)).collect()
    }

    #[test]
    fn the_first_token_is_an_early_timestamp() {
        assert_eq!(allowed(&[], &[5]), [12, 13, 14, 15]);
    }

    #[test]
    fn text_follows_the_opening_timestamp() {
        assert_eq!(allowed(&[13], &[20]), text_without(&[4]));
        assert_eq!(allowed(&[13, 1, 15, 15], &[20]), text_without(&[4]));
    }

    #[test]
    fn a_closing_timestamp_is_later_than_the_opening_one() {
        let expected: Vec<usize> = text_without(&[4]).into_iter().chain(14..32).collect();
        assert_eq!(allowed(&[13, 1], &[1]), expected);
    }

    #[test]
    fn a_closing_timestamp_is_followed_by_its_pair_or_the_end() {
        let expected: Vec<usize> = [10].into_iter().chain(16..32).collect();
        assert_eq!(allowed(&[13, 1, 16], &[10]), expected);
    }

    #[test]
    fn a_timestamp_follows_if_all_together_outweigh_every_text_token() {
        // 20 logits of 0 weigh e^3, and one text logit of 0 weighs 1.
        assert_eq!(allowed(&[12, 1], &[]), (13..32).collect::<Vec<_>>());
        // e^9 is more than 19 times e^0.
        assert!(allowed(&[12, 1], &[2]).contains(&2));
    }

    #[test]
    fn text_can_end_at_the_last_timestamp() {
        assert_eq!(allowed(&[31, 1], &[]), text_without(&[4]));
        assert_eq!(allowed(&[13, 1, 31], &[10]), [10, 31]);
    }

    #[test]
    fn a_row_shorter_than_the_rules_does_not_panic() {
        for length in 0..32 {
            for generated in [&[][..], &[13], &[13, 1], &[13, 1, 15], &[13, 1, 4000]] {
                rules().apply(generated, &mut vec![0.0; length]);
            }
        }
    }
}
