//! Joins tokens to text, as FunASR's `funasr/utils/postprocess_utils.py` does.

use std::ops::Range;

use crate::punctuation::is_unspaced;

/// Text of a sequence of tokens, and its words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct JoinedText {
    /// Text without spaces between Chinese characters and with one space between other words.
    pub(crate) sentence: String,
    /// Words of `sentence`, as its spaces separate them; each Chinese character is a word.
    pub(crate) words: Vec<Word>,
}

/// A word, and the tokens that it was joined from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Indices into the sequence of tokens.
    pub(crate) tokens: Range<usize>,
}

/// Tokens of the vocabulary that are not text.
const SPECIAL_TOKENS: [&str; 4] = ["<s>", "</s>", "<unk>", "<OOV>"];
/// Suffix of a token whose word continues in the next token.
const CONTINUATION: &str = "@@";
/// SentencePiece's symbol for the space before a word.
const WORD_START: char = '\u{2581}';

/// An element of a sentence.
enum Item {
    Word(Word),
    Space,
}

/// Joins Chinese characters, English words, and parts of words (`hel@@`, `lo`), as FunASR's
/// `sentence_postprocess`. Consecutive single letters form an abbreviation, written in capitals.
///
/// Like FunASR, this drops an unfinished word at the very end, and adds one that is followed by a
/// Chinese character to the next word. It differs in two cases: a special token among the tokens
/// does not shift the times of those after it (hence [`Word::tokens`]), and a token that is neither
/// Chinese nor alphabetic (`#`) does not remove its neighbour.
pub(crate) fn join(tokens: &[&str]) -> JoinedText {
    let mut items = Vec::new();
    let mut pending = String::new();
    let mut first = None;
    // Whether the last item is the space after a word, which a Chinese character removes.
    let mut ends_in_space = false;
    for (index, &token) in tokens.iter().enumerate() {
        if SPECIAL_TOKENS.contains(&token) {
            continue;
        }
        let word = |text: String, first: Option<usize>| {
            Item::Word(Word { text, tokens: first.unwrap_or(index)..index + 1 })
        };
        if is_chinese(token) {
            if ends_in_space {
                items.pop();
            }
            items.push(word(token.to_owned(), None));
            first = None;
            ends_in_space = false;
        } else if token.contains(CONTINUATION) {
            pending.push_str(&token.replace(CONTINUATION, ""));
            first.get_or_insert(index);
            ends_in_space = false;
        } else if is_alphabetic(token) {
            pending.push_str(token);
            items.push(word(std::mem::take(&mut pending), first.take()));
            items.push(Item::Space);
            ends_in_space = true;
        } else {
            items.push(word(token.to_owned(), None));
            ends_in_space = false;
        }
    }
    finish(abbreviate(items))
}

/// Joins SentencePiece tokens, as FunASR's `sentence_postprocess_sentencepiece`: a token that
/// begins a word begins with `▁`.
pub(crate) fn join_pieces(tokens: &[&str]) -> JoinedText {
    let mut items = Vec::new();
    let mut open: Option<Word> = None;
    for (index, &token) in tokens.iter().enumerate() {
        if SPECIAL_TOKENS.contains(&token) {
            continue;
        }
        if token.contains(WORD_START)
            && let Some(word) = open.take()
        {
            items.extend([Item::Word(word), Item::Space]);
        }
        let word = open.get_or_insert(Word { text: String::new(), tokens: index..index });
        word.text.extend(token.chars().filter(|&char| char != WORD_START));
        word.tokens.end = index + 1;
    }
    items.extend(open.map(Item::Word));
    finish(items)
}

fn finish(items: Vec<Item>) -> JoinedText {
    let mut text = JoinedText::default();
    for item in items {
        match item {
            Item::Space => text.sentence.push(' '),
            Item::Word(word) if word.text.is_empty() => {}
            Item::Word(word) => {
                // There is no space between digits and `@`. FunASR nevertheless counts them as
                // words, and writes 1234 as `1 2 3 4` where it adds punctuation between words.
                let glued = text.words.last().is_some_and(|last| {
                    text.sentence.ends_with(&last.text)
                        && !last.text.ends_with(is_unspaced)
                        && !word.text.starts_with(is_unspaced)
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

/// Joins single letters that only a space separates.
fn abbreviate(items: Vec<Item>) -> Vec<Item> {
    let mut joined: Vec<Item> = Vec::with_capacity(items.len());
    // Whether the last word of `joined` is a letter, or several joined letters.
    let mut after_letter = false;
    for item in items {
        let Item::Word(mut word) = item else {
            joined.push(item);
            continue;
        };
        let letter = matches!(word.text.as_bytes(), [byte] if byte.is_ascii_alphabetic());
        if letter
            && after_letter
            && let Some(Item::Space) = joined.last()
            && let Some(Item::Word(before)) = joined.iter().rev().nth(1)
        {
            word.text = (before.text.clone() + &word.text).to_ascii_uppercase();
            word.tokens.start = before.tokens.start;
            joined.truncate(joined.len() - 2);
        }
        after_letter = letter;
        joined.push(Item::Word(word));
    }
    joined
}

/// FunASR's `isAllChinese`, which includes digits and `@`.
fn is_chinese(token: &str) -> bool {
    let chinese = |char| matches!(char, '\u{4e00}'..='\u{9fff}' | '0'..='9' | '@');
    !token.is_empty() && token.chars().all(chinese)
}

/// FunASR's `isAllAlpha`: letters of any script, and apostrophes.
fn is_alphabetic(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|char| char.is_alphabetic() || char == '\'')
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{
        fixtures,
        punctuation::{self, PunctuationStyle},
    };

    /// Output of FunASR's own functions; see the README next to the fixture.
    #[derive(Deserialize)]
    struct Case {
        tokens: Vec<String>,
        text: String,
        /// Present where FunASR does not split words.
        words: Option<Vec<String>>,
    }

    fn assert_agrees(cases: &[Case], join: fn(&[&str]) -> JoinedText) {
        assert!(cases.len() > 100);
        for case in cases {
            let tokens: Vec<&str> = case.tokens.iter().map(String::as_str).collect();
            let text = join(&tokens);
            assert_eq!(text.sentence, case.text, "{tokens:?}");
            let own: Vec<_> = text.words.iter().map(|word| word.text.as_str()).collect();
            if let Some(words) = &case.words {
                assert_eq!(own.concat(), words.concat(), "{tokens:?}");
            }
            let joined = punctuation::join(&own, &[], PunctuationStyle::Chinese);
            assert_eq!(joined, without_spaces_next_to_chinese(&case.text), "{tokens:?}");
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

    /// Removes spaces that FunASR leaves where it takes a part of a word for the word before.
    fn without_spaces_next_to_chinese(text: &str) -> String {
        let parts: Vec<&str> = text.split(' ').collect();
        punctuation::join(&parts, &[], PunctuationStyle::Chinese)
    }

    #[test]
    fn sentences_match_funasr() {
        assert_agrees(&fixtures::json::<Vec<Case>>("funasr-text/sentences.json"), join);
    }

    #[test]
    fn sentence_pieces_match_funasr() {
        assert_agrees(&fixtures::json::<Vec<Case>>("funasr-text/pieces.json"), join_pieces);
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
        // The tokens of a word that a Chinese character interrupts begin after that character.
        assert_eq!(spans(&["hel@@", "你", "lo"]), expected(&[("你", 1..2), ("hello", 2..3)]));
        assert_eq!(spans(&["a", "#", "你"]), expected(&[("a", 0..1), ("#", 1..2), ("你", 2..3)]));
        assert_eq!(join(&["a", "#", "你"]).sentence, "a #你");
        // Characters without a space between them form one word.
        assert_eq!(
            spans(&["1", "2", "<unk>", "3", "年"]),
            expected(&[("123", 0..4), ("年", 4..5)])
        );
        assert_eq!(spans(&["b", "2", "b", "二"]), expected(&[("b2b", 0..3), ("二", 3..4)]));
        assert_eq!(join(&[]), JoinedText::default());
        assert_eq!(join(&["<s>", "wor@@"]), JoinedText::default());
        assert_eq!(join_pieces(&["▁", "▁a"]).words.len(), 1);
    }
}
