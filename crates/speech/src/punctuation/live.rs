//! Punctuation of text as it comes: FunASR's `CT_Transformer_VadRealtime`.

use std::sync::Arc;

use super::{
    Mark, Punctuator, per_word,
    window::{self, LONGEST, sentence_end},
};
use crate::recognizer::Error;

/// One text that grows, piece by piece (after each pause of the speaker, say). Marks once given
/// stand. Best with a model of the real-time variant: others were not trained to have the future
/// hidden from words that were given before, and do not have it hidden.
pub struct Live {
    punctuator: Arc<Punctuator>,
    /// Ids of the units since the last end of a sentence: at least the last unit.
    pub(super) held: Vec<i32>,
    /// What the network puts after the last unit, as long as nothing follows it.
    last: Mark,
}

/// What a piece of text made certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The mark after the last word of the pieces before.
    pub before: Mark,
    /// The mark after each word of this piece, but that of the last word: it is [`Mark::None`] here
    /// and comes with the next piece, or the end.
    pub marks: Vec<Mark>,
}

impl Punctuator {
    /// Begins a text.
    pub fn live(self: &Arc<Self>) -> Live {
        Live { punctuator: Arc::clone(self), held: Vec::new(), last: Mark::None }
    }
}

impl Live {
    pub fn push(&mut self, words: &[&str]) -> Result<Update, Error> {
        let (new, ends) = self.punctuator.ids(words);
        if new.is_empty() {
            return Ok(Update { before: Mark::None, marks: vec![Mark::None; words.len()] });
        }
        let held = self.held.len();
        let ids = [self.held.as_slice(), &new].concat();
        let mut marks =
            window::over(ids.len(), |window| self.punctuator.marks(&ids[window], held))?;
        let kept = sentence_end(&marks).unwrap_or(0).max(ids.len().saturating_sub(LONGEST));
        self.held = ids[kept..].to_vec();
        self.last = std::mem::take(&mut marks[ids.len() - 1]);
        let before = if held > 0 { marks[held - 1] } else { Mark::None };
        Ok(Update { before, marks: per_word(&marks[held..], &ends) })
    }

    /// Ends the text: the mark after its last word, as [`Punctuator::punctuate`] has it.
    pub fn finish(self) -> Mark {
        match (self.held.is_empty(), self.last) {
            (true, _) => Mark::None,
            (false, Mark::Question) => Mark::Question,
            (false, _) => Mark::Period,
        }
    }
}
