//! Finds a segment's words in its text.

use std::ops::Range;

use crate::{Segment, Word, punctuation, text};

impl Segment {
    /// Divides the text among the words: each has itself, the marks around it and the space before it. One
    /// after the other, these are the whole text on one line. Returns `None` if there are no visible words or the
    /// text differs from them.
    pub fn text_by_word(&self) -> Option<Vec<String>> {
        let text = text::clean(&self.text);
        let placed = place(&self.words, &text)?;
        let mut begins = beginnings(&placed, &text);
        begins.push(text.len());
        let mut visible = begins.windows(2).map(|bounds| text[bounds[0]..bounds[1]].to_owned());
        let of_word = |word: &Word| match text::clean(&word.text).is_empty() {
            true => String::new(),
            false => visible.next().unwrap_or_default(),
        };
        Some(self.words.iter().map(of_word).collect())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_divided_among_the_words() {
        let divided = |text: &str, words: &[&str]| {
            let word = |text: &&str| Word { text: (*text).to_owned(), ..Word::default() };
            let words = words.iter().map(word).collect();
            Segment { text: text.to_owned(), words, ..Segment::default() }.text_by_word()
        };
        assert_eq!(
            divided(" “Yes, I\ndo.” (Really?)", &[" “Yes,", "\u{200b}", "I", "do", "Really"]),
            Some(["“Yes,", "", " I", " do.”", " (Really?)"].map(str::to_owned).to_vec())
        );
        assert_eq!(
            divided("你好。再见", &["你", "好", "再见"]),
            Some(["你", "好。", "再见"].map(str::to_owned).to_vec())
        );
        for (text, words) in [("23, yes.", &["twenty", "three"][..]), ("Yes.", &[]), ("", &[""])] {
            assert_eq!(divided(text, words), None, "{text}");
        }
    }
}
