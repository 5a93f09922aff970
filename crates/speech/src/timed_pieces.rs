//! Joins pieces with times to words with times, for recognizers whose tokens are parts of words.

use std::ops::Range;

use crate::{punctuation::is_unspaced, recognizer::Word};

/// A piece of text, and the time at which it is spoken.
pub(crate) struct TimedPiece<'a> {
    /// UTF-8, possibly only a part of a character.
    pub(crate) text: &'a [u8],
    /// In seconds.
    pub(crate) time: Range<f64>,
    pub(crate) log_probability: f32,
}

/// Returns the text of `pieces` and its words: separated by spaces, or one per character in scripts
/// without spaces. Punctuation belongs to the word before it, but does not affect the word's times.
/// Leaves out words that are not to `keep`.
pub(crate) fn words(pieces: &[TimedPiece<'_>], keep: impl Fn(&str) -> bool) -> (String, Vec<Word>) {
    let mut builder = WordBuilder { pieces, words: Vec::new(), after_space: false };
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.text).copied().collect();
    // Index of the piece that each byte belongs to.
    let owners: Vec<usize> = pieces
        .iter()
        .enumerate()
        .flat_map(|(index, pieces)| vec![index; pieces.text.len()])
        .collect();
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for (offset, character) in chunk.valid().char_indices() {
            builder.push(character, owners[at + offset]);
        }
        at += chunk.valid().len();
        if !chunk.invalid().is_empty() {
            builder.push(char::REPLACEMENT_CHARACTER, owners[at]);
        }
        at += chunk.invalid().len();
    }
    builder.finish(keep)
}

struct WordBuilder<'a> {
    pieces: &'a [TimedPiece<'a>],
    words: Vec<PartialWord>,
    /// Whether the last character was white space.
    after_space: bool,
}

/// A word that may continue.
struct PartialWord {
    text: String,
    /// Whether white space precedes the word.
    space_before: bool,
    /// Indices of the first and the last piece with a letter or digit of the word; without any, of
    /// its first piece.
    span: (usize, usize),
    /// Whether the word contains a letter or digit.
    has_letters: bool,
}

impl WordBuilder<'_> {
    /// Appends a character that belongs to the piece with the index `owner`.
    fn push(&mut self, character: char, owner: usize) {
        if character.is_whitespace() {
            self.after_space = true;
            return;
        }
        let letter = character.is_alphanumeric();
        let space_before = std::mem::take(&mut self.after_space);
        let last = self.words.last_mut().filter(|last| {
            let is_word = |c: char| c.is_alphanumeric() && is_unspaced(c);
            !space_before
                && (!letter
                    || !last.has_letters
                    || !(is_word(character) || last.text.contains(is_word)))
        });
        match last {
            Some(last) => {
                last.text.push(character);
                if letter {
                    let first = if last.has_letters { last.span.0 } else { owner };
                    last.span = (first, owner);
                    last.has_letters = true;
                }
            }
            None => self.words.push(PartialWord {
                text: character.to_string(),
                space_before,
                span: (owner, owner),
                has_letters: letter,
            }),
        }
    }

    fn finish(self, keep: impl Fn(&str) -> bool) -> (String, Vec<Word>) {
        let mut text = String::new();
        let mut words = Vec::with_capacity(self.words.len());
        for word in self.words.into_iter().filter(|word| keep(&word.text)) {
            if word.space_before && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word.text);
            let pieces = &self.pieces[word.span.0..=word.span.1];
            let sum: f32 = pieces.iter().map(|piece| piece.log_probability).sum();
            words.push(Word {
                start: pieces[0].time.start,
                end: pieces[pieces.len() - 1].time.end,
                text: word.text,
                log_probability: sum / pieces.len() as f32,
            });
        }
        (text, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins pieces of one second each, every one less probable than the one before.
    fn joined(pieces: &[&[u8]]) -> (String, Vec<(String, f64, f64, f32)>) {
        let pieces: Vec<TimedPiece> = pieces
            .iter()
            .enumerate()
            .map(|(index, text)| TimedPiece {
                text,
                time: index as f64..index as f64 + 1.0,
                log_probability: -(index as f32),
            })
            .collect();
        let (text, words) = words(&pieces, |word| word != "no.");
        let words = words.into_iter().map(|w| (w.text, w.start, w.end, w.log_probability));
        (text, words.collect())
    }

    fn word(text: &str, start: f64, end: f64, log_probability: f32) -> (String, f64, f64, f32) {
        (text.to_owned(), start, end, log_probability)
    }

    #[test]
    fn joins_pieces_to_words() {
        let (text, words) = joined(&[b" he", b"llo", b",", b" I", b"'m", b" 3", b".", b"5"]);
        assert_eq!(text, "hello, I'm 3.5");
        let expected = [
            word("hello,", 0.0, 2.0, -0.5),
            word("I'm", 3.0, 5.0, -3.5),
            word("3.5", 5.0, 8.0, -6.0),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn characters_of_scripts_without_spaces_are_words() {
        let pieces = ["「", "你", "好", "，", "ok", "カー", "안녕", " 세요", "。"];
        let (text, words) = joined(&pieces.map(str::as_bytes));
        assert_eq!(text, "「你好，okカー안녕 세요。");
        let texts: Vec<_> = words.iter().map(|word| word.0.as_str()).collect();
        assert_eq!(texts, ["「你", "好，", "ok", "カ", "ー", "안녕", "세요。"]);
        assert_eq!((words[0].1, words[1].2, words[3].1, words[6].2), (1.0, 3.0, 5.0, 8.0));
    }

    #[test]
    fn joins_bytes_to_characters() {
        let (text, words) = joined(&[&[0xE4], &[0xBD], &[0xA0], &[0xE4], b"a", b" "]);
        assert_eq!(text, "你\u{FFFD}a");
        assert_eq!(words[0].1, 0.0);
        assert_eq!(joined(&[]), (String::new(), vec![]));
        assert_eq!(joined(&[b" ", b"no", b"."]), (String::new(), vec![]));
        assert_eq!(joined(&[b".", b" a"]).0, ". a");
    }
}
