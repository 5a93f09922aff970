//! Finds a segment's words in its text.

use std::ops::Range;

use crate::{Word, punctuation, text};

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

/// Returns the bytes at which the text of each word begins: marks that open it are part of it, all others
/// follow the word before. The first is 0.
pub(crate) fn beginnings(placed: &[PlacedWord<'_>], text: &str) -> Vec<usize> {
    let mut begins = vec![0];
    begins.extend(placed.windows(2).map(|pair| {
        let (from, to) = (pair[0].range.end, pair[1].range.start);
        let gap = &text[from..to];
        match gap.rfind(char::is_whitespace) {
            // What is glued to the next word belongs to it.
            Some(space) => from + space,
            None => from + gap.trim_end_matches(punctuation::is_opening).len(),
        }
    }));
    begins
}
