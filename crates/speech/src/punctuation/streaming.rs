//! Punctuation of a growing text, as in FunASR's `CT_Transformer_VadRealtime`.

use std::sync::Arc;

use super::{
    PunctuationMark, Punctuator, per_word,
    window::{self, MAX_WINDOW, sentence_end},
};
use crate::recognizer::Error;

/// Punctuates one text that grows by a few words at a time, for example after each pause of the
/// speaker. Marks do not change once they are returned. Use a model of the real-time variant: it
/// masks later words from earlier ones, as in its training. Other models do not.
pub struct StreamingPunctuator {
    punctuator: Arc<Punctuator>,
    /// Ids of the units since the last end of a sentence; at least the last unit.
    pub(super) held: Vec<i32>,
    /// Mark after the last unit, as long as no unit follows it.
    last: PunctuationMark,
}

/// Marks that became final with the latest words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PunctuationUpdate {
    /// Mark after the last word of the previous call.
    pub before: PunctuationMark,
    /// Mark after each word of this call. That of the last word is [`PunctuationMark::None`] here
    /// and comes with the next call, or with [`StreamingPunctuator::finish`].
    pub marks: Vec<PunctuationMark>,
}

impl Punctuator {
    /// Starts a text.
    pub fn stream(self: &Arc<Self>) -> StreamingPunctuator {
        StreamingPunctuator {
            punctuator: Arc::clone(self),
            held: Vec::new(),
            last: PunctuationMark::None,
        }
    }
}

impl StreamingPunctuator {
    /// Adds words to the text.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Network`] if the network fails.
    pub fn push(&mut self, words: &[&str]) -> Result<PunctuationUpdate, Error> {
        let (new, ends) = self.punctuator.ids(words);
        if new.is_empty() {
            return Ok(PunctuationUpdate {
                before: PunctuationMark::None,
                marks: vec![PunctuationMark::None; words.len()],
            });
        }
        let held = self.held.len();
        let ids = [self.held.as_slice(), &new].concat();
        let mut marks =
            window::over(ids.len(), |window| self.punctuator.marks(&ids[window], held))?;
        let kept = sentence_end(&marks).unwrap_or(0).max(ids.len().saturating_sub(MAX_WINDOW));
        self.held = ids[kept..].to_vec();
        self.last = std::mem::take(&mut marks[ids.len() - 1]);
        let before = if held > 0 { marks[held - 1] } else { PunctuationMark::None };
        Ok(PunctuationUpdate { before, marks: per_word(&marks[held..], &ends) })
    }

    /// Ends the text, and returns the mark after its last word, as in [`Punctuator::punctuate`].
    pub fn finish(self) -> PunctuationMark {
        match (self.held.is_empty(), self.last) {
            (true, _) => PunctuationMark::None,
            (false, PunctuationMark::Question) => PunctuationMark::Question,
            (false, _) => PunctuationMark::Period,
        }
    }
}
