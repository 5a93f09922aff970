//! Finds a segment's words in its text.

use std::ops::Range;

use crate::{Word, text};

/// A word and where it is in the text.
#[derive(Debug)]
pub(crate) struct PlacedWord<'a> {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    pub(crate) word: &'a Word,
}

/// Finds the words in the cleaned text in order, with punctuation allowed between them. Words without
/// visible text are left out. Returns `None` if there are no words or the text differs from them.
pub(crate) fn place<'a>(words: &'a [Word], text: &str) -> Option<Vec<PlacedWord<'a>>> {
    let mut placed = Vec::with_capacity(words.len());
    let mut byte = 0;
    for word in words {
        let wanted = text::clean(&word.text);
        if wanted.is_empty() {
            continue;
        }
        while !text[byte..].starts_with(&wanted) {
            let between = text[byte..].chars().next().filter(|c| !c.is_alphanumeric())?;
            byte += between.len_utf8();
        }
        placed.push(PlacedWord { range: byte..byte + wanted.len(), word });
        byte += wanted.len();
    }
    let all_found = !placed.is_empty() && !text[byte..].contains(char::is_alphanumeric);
    all_found.then_some(placed)
}
