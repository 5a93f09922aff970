//! From pieces with times to words with times, and their text.

use std::ops::Range;

use crate::{punctuation::unspaced, recognizer::Word};

/// Text said at some time.
pub(super) struct Said<'a> {
    pub(super) text: &'a [u8],
    /// In seconds.
    pub(super) time: Range<f64>,
    pub(super) log_probability: f32,
}

/// The text of `said`, and its words: what spaces separate, or a character in scripts without
/// spaces. Punctuation belongs to the word before it, but takes no part in its times.
pub(super) fn words(said: &[Said<'_>]) -> (String, Vec<Word>) {
    let mut builder = Builder { said, words: Vec::new(), blank: false };
    let bytes: Vec<u8> = said.iter().flat_map(|said| said.text).copied().collect();
    // Which of `said` each byte is from.
    let owners: Vec<usize> =
        said.iter().enumerate().flat_map(|(index, said)| vec![index; said.text.len()]).collect();
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
    builder.finish()
}

struct Builder<'a> {
    said: &'a [Said<'a>],
    words: Vec<Open>,
    /// Whether white space came last.
    blank: bool,
}

/// A word that may go on.
struct Open {
    text: String,
    /// Whether white space stands before it.
    spaced: bool,
    /// The first and the last of `said` that it is of, ...
    parts: (usize, usize),
    /// ... and whether these are of letters or digits.
    has_letters: bool,
}

impl Builder<'_> {
    fn push(&mut self, character: char, owner: usize) {
        if character.is_whitespace() {
            self.blank = true;
            return;
        }
        let letter = character.is_alphanumeric();
        let spaced = std::mem::take(&mut self.blank);
        let last = self.words.last_mut().filter(|last| {
            let alone = |c: char| c.is_alphanumeric() && unspaced(c);
            !spaced
                && (!letter
                    || !last.has_letters
                    || !(alone(character) || last.text.contains(alone)))
        });
        match last {
            Some(last) => {
                last.text.push(character);
                if letter {
                    let first = if last.has_letters { last.parts.0 } else { owner };
                    last.parts = (first, owner);
                    last.has_letters = true;
                }
            }
            None => self.words.push(Open {
                text: character.to_string(),
                spaced,
                parts: (owner, owner),
                has_letters: letter,
            }),
        }
    }

    fn finish(self) -> (String, Vec<Word>) {
        let mut text = String::new();
        let mut words = Vec::with_capacity(self.words.len());
        // What the model hears in silence; FunASR drops it too.
        for word in self.words.into_iter().filter(|word| word.text != "The.") {
            if word.spaced && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word.text);
            let parts = &self.said[word.parts.0..=word.parts.1];
            let sum: f32 = parts.iter().map(|part| part.log_probability).sum();
            words.push(Word {
                start: parts[0].time.start,
                end: parts[parts.len() - 1].time.end,
                text: word.text,
                log_probability: sum / parts.len() as f32,
            });
        }
        (text, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each piece takes a second, and is less likely than the one before.
    fn joined(pieces: &[&[u8]]) -> (String, Vec<(String, f64, f64, f32)>) {
        let said: Vec<Said> = pieces
            .iter()
            .enumerate()
            .map(|(index, text)| Said {
                text,
                time: index as f64..index as f64 + 1.0,
                log_probability: -(index as f32),
            })
            .collect();
        let (text, words) = words(&said);
        let words = words.into_iter().map(|w| (w.text, w.start, w.end, w.log_probability));
        (text, words.collect())
    }

    fn word(text: &str, start: f64, end: f64, log_probability: f32) -> (String, f64, f64, f32) {
        (text.to_owned(), start, end, log_probability)
    }

    #[test]
    fn pieces_become_words() {
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
    fn bytes_become_characters() {
        let (text, words) = joined(&[&[0xE4], &[0xBD], &[0xA0], &[0xE4], b"a", b" "]);
        assert_eq!(text, "你\u{FFFD}a");
        assert_eq!(words[0].1, 0.0);
        assert_eq!(joined(&[]), (String::new(), vec![]));
        assert_eq!(joined(&[b" ", b"The", b"."]), (String::new(), vec![]));
        assert_eq!(joined(&[b".", b" a"]).0, ". a");
    }
}
