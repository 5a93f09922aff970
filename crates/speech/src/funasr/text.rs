//! From tokens to text, as FunASR's `funasr/utils/postprocess_utils.py` joins them.

use std::ops::Range;

use crate::punctuation::unspaced;

/// What becomes of a sequence of tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Text {
    /// Chinese without spaces, other words apart by one.
    pub(crate) sentence: String,
    /// The words of `sentence`, as it parts them; a Chinese character is one.
    pub(crate) words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Where in the sequence of tokens it stands.
    pub(crate) tokens: Range<usize>,
}

/// Marks of the vocabulary that are no text.
const MARKS: [&str; 4] = ["<s>", "</s>", "<unk>", "<OOV>"];
/// Ends a piece whose word goes on in the next token.
const CONTINUED: &str = "@@";
/// SentencePiece's sign for the blank before a word.
const BLANK: char = '\u{2581}';

/// What a sentence is built of.
enum Item {
    Word(Word),
    Blank,
}

/// `sentence_postprocess`: Chinese characters, English words, and pieces of words (`hel@@`, `lo`).
/// Single letters in a row are an abbreviation, written in capitals.
///
/// In this FunASR drops what it cannot place, and so do we: a piece at the very end is lost, and one
/// that is followed by a Chinese character goes to the next word. Two things are mended: a mark among
/// the tokens does not shift the times of what follows (hence [`Word::tokens`]), and a token that is
/// neither Chinese nor a word (`#`) does not lose its neighbour.
pub(crate) fn join(tokens: &[&str]) -> Text {
    let mut items = Vec::new();
    let mut pending = String::new();
    let mut first = None;
    // Whether the last token ended a word: only then does a Chinese character take its blank.
    let mut blank = false;
    for (index, &token) in tokens.iter().enumerate() {
        if MARKS.contains(&token) {
            continue;
        }
        let word = |text: String, first: Option<usize>| {
            Item::Word(Word { text, tokens: first.unwrap_or(index)..index + 1 })
        };
        if is_chinese(token) {
            if blank {
                items.pop();
            }
            items.push(word(token.to_owned(), None));
            first = None;
            blank = false;
        } else if token.contains(CONTINUED) {
            pending.push_str(&token.replace(CONTINUED, ""));
            first.get_or_insert(index);
            blank = false;
        } else if is_word(token) {
            pending.push_str(token);
            items.push(word(std::mem::take(&mut pending), first.take()));
            items.push(Item::Blank);
            blank = true;
        } else {
            items.push(word(token.to_owned(), None));
            blank = false;
        }
    }
    finish(abbreviate(items))
}

/// `sentence_postprocess_sentencepiece`: tokens that begin a word begin with `▁`.
pub(crate) fn join_pieces(tokens: &[&str]) -> Text {
    let mut items = Vec::new();
    let mut open: Option<Word> = None;
    for (index, &token) in tokens.iter().enumerate() {
        if MARKS.contains(&token) {
            continue;
        }
        if token.contains(BLANK)
            && let Some(word) = open.take()
        {
            items.extend([Item::Word(word), Item::Blank]);
        }
        let word = open.get_or_insert(Word { text: String::new(), tokens: index..index });
        word.text.extend(token.chars().filter(|&char| char != BLANK));
        word.tokens.end = index + 1;
    }
    items.extend(open.map(Item::Word));
    finish(items)
}

fn finish(items: Vec<Item>) -> Text {
    let mut text = Text::default();
    for item in items {
        match item {
            Item::Blank => text.sentence.push(' '),
            Item::Word(word) if word.text.is_empty() => {}
            Item::Word(word) => {
                // Digits and `@` are set without a blank. FunASR counts them as words even so, and
                // makes `1 2 3 4` of 1234 where it sets punctuation between words.
                let glued = text.words.last().is_some_and(|last| {
                    text.sentence.ends_with(&last.text)
                        && !last.text.ends_with(unspaced)
                        && !word.text.starts_with(unspaced)
                });
                text.sentence.push_str(&word.text);
                match text.words.last_mut() {
                    Some(last) if glued => {
                        last.text.push_str(&word.text);
                        last.tokens.end = word.tokens.end;
                    }
                    _ => text.words.push(word),
                }
            }
        }
    }
    text.sentence = text.sentence.trim().to_owned();
    text
}

/// Joins single letters that only a blank keeps apart.
fn abbreviate(items: Vec<Item>) -> Vec<Item> {
    let mut joined: Vec<Item> = Vec::with_capacity(items.len());
    // Whether the last word of `joined` is a letter, or letters that were joined.
    let mut spelled = false;
    for item in items {
        let Item::Word(mut word) = item else {
            joined.push(item);
            continue;
        };
        let letter = matches!(word.text.as_bytes(), [byte] if byte.is_ascii_alphabetic());
        if letter
            && spelled
            && let Some(Item::Blank) = joined.last()
            && let Some(Item::Word(before)) = joined.iter().rev().nth(1)
        {
            word.text = (before.text.clone() + &word.text).to_ascii_uppercase();
            word.tokens.start = before.tokens.start;
            joined.truncate(joined.len() - 2);
        }
        spelled = letter;
        joined.push(Item::Word(word));
    }
    joined
}

/// `isAllChinese`, which takes digits and `@` in.
fn is_chinese(token: &str) -> bool {
    let chinese = |char| matches!(char, '\u{4e00}'..='\u{9fff}' | '0'..='9' | '@');
    !token.is_empty() && token.chars().all(chinese)
}

/// `isAllAlpha`: letters of any script, and apostrophes.
fn is_word(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|char| char.is_alphabetic() || char == '\'')
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::punctuation::{self, Style};

    /// Cases by FunASR's own functions; see the README beside the file.
    #[derive(Deserialize)]
    struct Case {
        tokens: Vec<String>,
        text: String,
        /// Where FunASR's words are whole.
        words: Option<Vec<String>>,
    }

    fn agrees(cases: &[Case], join: fn(&[&str]) -> Text) {
        assert!(cases.len() > 100);
        for case in cases {
            let tokens: Vec<&str> = case.tokens.iter().map(String::as_str).collect();
            let text = join(&tokens);
            assert_eq!(text.sentence, case.text, "{tokens:?}");
            let own: Vec<_> = text.words.iter().map(|word| word.text.as_str()).collect();
            if let Some(words) = &case.words {
                assert_eq!(own.concat(), words.concat(), "{tokens:?}");
            }
            let joined = punctuation::join(&own, &[], Style::Chinese);
            assert_eq!(joined, without_blanks_beside_chinese(&case.text), "{tokens:?}");
            let mut end = 0;
            for word in &text.words {
                assert!(
                    end <= word.tokens.start && word.tokens.start < word.tokens.end,
                    "{text:?}"
                );
                end = word.tokens.end;
            }
            assert!(end <= tokens.len());
        }
    }

    /// Which FunASR leaves where a piece of a word is taken for the word before.
    fn without_blanks_beside_chinese(text: &str) -> String {
        let parts: Vec<&str> = text.split(' ').collect();
        punctuation::join(&parts, &[], Style::Chinese)
    }

    #[test]
    fn sentences_are_funasrs() {
        let cases = include_str!("../../../../tests/fixtures/funasr-text/sentences.json");
        let cases: Vec<Case> = serde_json::from_str(cases).expect("fixture");
        agrees(&cases, join);
    }

    #[test]
    fn pieces_are_funasrs() {
        let cases = include_str!("../../../../tests/fixtures/funasr-text/pieces.json");
        let cases: Vec<Case> = serde_json::from_str(cases).expect("fixture");
        agrees(&cases, join_pieces);
    }

    #[test]
    fn words_know_their_tokens() {
        let spans = |tokens: &[&str]| -> Vec<(String, Range<usize>)> {
            join(tokens).words.into_iter().map(|word| (word.text, word.tokens)).collect()
        };
        let expected = |words: &[(&str, Range<usize>)]| -> Vec<(String, Range<usize>)> {
            words.iter().map(|(text, tokens)| ((*text).to_owned(), tokens.clone())).collect()
        };
        assert_eq!(
            spans(&["你", "<unk>", "hel@@", "lo", "a", "b", "c", "好"]),
            expected(&[("你", 0..1), ("hello", 2..4), ("ABC", 4..7), ("好", 7..8)])
        );
        // What a Chinese character interrupts counts from after it.
        assert_eq!(spans(&["hel@@", "你", "lo"]), expected(&[("你", 1..2), ("hello", 2..3)]));
        assert_eq!(spans(&["a", "#", "你"]), expected(&[("a", 0..1), ("#", 1..2), ("你", 2..3)]));
        assert_eq!(join(&["a", "#", "你"]).sentence, "a #你");
        // What the sentence does not part is one word.
        assert_eq!(
            spans(&["1", "2", "<unk>", "3", "年"]),
            expected(&[("123", 0..4), ("年", 4..5)])
        );
        assert_eq!(spans(&["b", "2", "b", "二"]), expected(&[("b2b", 0..3), ("二", 3..4)]));
        assert_eq!(join(&[]), Text::default());
        assert_eq!(join(&["<s>", "wor@@"]), Text::default());
        assert_eq!(join_pieces(&["▁", "▁a"]).words.len(), 1);
    }
}
