//! A decoder for tests: a function of the tokens fed so far gives the probabilities.

use super::{Decoder, Rules};
use crate::recognizer::Error;

/// Size of the vocabulary: text 0..10, end of text 10, start 11, no-speech 12, no-timestamps 13,
/// timestamps 14..64.
pub(in crate::whisper) const VOCABULARY: usize = 64;
pub(in crate::whisper) const END: u32 = 10;
pub(in crate::whisper) const START: u32 = 11;
pub(in crate::whisper) const NO_SPEECH: u32 = 12;

pub(in crate::whisper) fn rules() -> Rules {
    Rules {
        end_of_text: END,
        no_timestamps: 13,
        timestamp_begin: 14,
        max_initial_timestamp: 50,
        suppressed: vec![START, NO_SPEECH],
        suppressed_at_begin: vec![0, END],
    }
}

/// A decoder in which `choices(history)` gives the tokens with a probability above 0. The history is
/// the tokens after the prompt, which ends with `START`.
pub(in crate::whisper) struct Script<F> {
    choices: F,
    histories: Vec<Vec<u32>>,
    pub(in crate::whisper) steps: usize,
}

impl<F: Fn(&[u32]) -> Vec<(u32, f32)>> Script<F> {
    pub(in crate::whisper) fn new(choices: F) -> Self {
        Self { choices, histories: vec![Vec::new()], steps: 0 }
    }

    /// Returns the logits after the prompt.
    pub(in crate::whisper) fn first(&self) -> Vec<f32> {
        self.row(&[])
    }

    fn row(&self, history: &[u32]) -> Vec<f32> {
        let mut row = vec![f32::NEG_INFINITY; VOCABULARY];
        for (token, probability) in (self.choices)(history) {
            row[token as usize] = probability.ln();
        }
        row
    }
}

impl<F: Fn(&[u32]) -> Vec<(u32, f32)>> Decoder for Script<F> {
    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.steps += 1;
        logits.clear();
        let each = tokens.len() / self.histories.len();
        assert_eq!(tokens.len(), each * self.histories.len(), "one row per beam");
        for (history, tokens) in self.histories.iter_mut().zip(tokens.chunks(each)) {
            history.extend(tokens);
            if let Some(start) = history.iter().rposition(|&token| token == START) {
                history.drain(..=start);
            }
        }
        for history in &self.histories {
            logits.extend(self.row(history));
        }
        Ok(())
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), Error> {
        self.histories = parents.iter().map(|&parent| self.histories[parent].clone()).collect();
        Ok(())
    }
}
