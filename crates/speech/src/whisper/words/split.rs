//! Splits tokens into words, as OpenAI's tokenizer.py (`split_to_word_tokens`) and timing.py
//! (`merge_punctuations`) do.

use super::{TimedWord, WordRules};

/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Punctuation that belongs to the word after it.
const PREPENDED: &str = "\"'“¿([{-";
/// Punctuation that belongs to the word before it.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";

/// Splits text tokens into words with their punctuation. Their times are not known yet.
pub(super) fn split(tokens: &[u32], rules: &WordRules<'_>) -> Vec<TimedWord> {
    let mut words = split_at_characters(tokens, rules.text);
    if rules.spaced {
        words = join_subwords(words);
    }
    merge_punctuation(&mut words);
    words
}

/// Splits tokens where a character ends: a character may take several tokens.
fn split_at_characters(tokens: &[u32], text: &dyn Fn(&[u32]) -> String) -> Vec<TimedWord> {
    const REPLACEMENT: char = '\u{fffd}';
    let full: Vec<char> = text(tokens).chars().collect();
    let mut words = Vec::new();
    let (mut start, mut characters) = (0, 0);
    for end in 1..=tokens.len() {
        let decoded = text(&tokens[start..end]);
        // The last character may be cut off. A character that the whole text does not have either will not be completed.
        let complete = match decoded.chars().position(|c| c == REPLACEMENT) {
            None => true,
            Some(_) if end == tokens.len() => true,
            Some(place) => full.get(characters + place) == Some(&REPLACEMENT),
        };
        if complete {
            characters += decoded.chars().count();
            words.push(TimedWord { text: decoded, tokens: start..end, start: 0.0, end: 0.0 });
            start = end;
        }
    }
    words
}

/// Joins the parts of words: a word begins with a space, or is punctuation.
fn join_subwords(parts: Vec<TimedWord>) -> Vec<TimedWord> {
    let mut words: Vec<TimedWord> = Vec::with_capacity(parts.len());
    for part in parts {
        let begins = part.text.starts_with(' ') || PUNCTUATION.contains(part.text.trim());
        match words.last_mut() {
            Some(word) if !begins => {
                word.text.push_str(&part.text);
                word.tokens.end = part.tokens.end;
            }
            _ => words.push(part),
        }
    }
    words
}

/// Merges punctuation with the word that it belongs to. The word keeps its place in the audio, for which
/// only its own tokens count.
fn merge_punctuation(words: &mut Vec<TimedWord>) {
    let mut merged: Vec<TimedWord> = Vec::with_capacity(words.len());
    // Opening punctuation, in order, until its word comes.
    let mut opening = String::new();
    for mut word in words.drain(..) {
        if word.text.starts_with(' ') && PREPENDED.contains(word.text.trim()) {
            opening.push_str(&word.text);
            continue;
        }
        if let Some(previous) = merged.last_mut()
            && opening.is_empty()
            && !previous.text.ends_with(' ')
            && APPENDED.contains(word.text.as_str())
        {
            previous.text.push_str(&word.text);
            continue;
        }
        if !opening.is_empty() {
            word.text.insert_str(0, &opening);
            opening.clear();
        }
        merged.push(word);
    }
    // Opening punctuation without a word after it closes the last one.
    if let Some(last) = merged.last_mut() {
        last.text.push_str(&opening);
    }
    *words = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits tokens that stand for these bytes.
    fn words(tokens: &[&[u8]], spaced: bool) -> Vec<(String, std::ops::Range<usize>)> {
        let text = |numbers: &[u32]| {
            let bytes: Vec<u8> =
                numbers.iter().flat_map(|&number| tokens[number as usize]).copied().collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let numbers: Vec<u32> = (0..tokens.len() as u32).collect();
        let rules = WordRules { text: &text, spaced };
        split(&numbers, &rules).into_iter().map(|word| (word.text, word.tokens)).collect()
    }

    fn texts(tokens: &[&str], spaced: bool) -> Vec<String> {
        let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_bytes()).collect();
        words(&tokens, spaced).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn spaces_separate_words_and_punctuation_joins_them() {
        assert_eq!(texts(&[" Don", "'t", " go", "."], true), [" Don't", " go."]);
        let said = [" He", " said", ":", " \"", "No", "!", "\""];
        assert_eq!(texts(&said, true), [" He", " said:", " \"No!\""]);
        let maybe = [" Yes", "?", " (", "may", "be", ")"];
        assert_eq!(texts(&maybe, true), [" Yes?", " (maybe)"]);
        assert_eq!(texts(&[" na", "ï", "ve", " Zo", "ë"], true), [" naïve", " Zoë"]);
        assert_eq!(texts(&[], true), Vec::<String>::new());
        assert_eq!(texts(&[" ", "..."], true), [" ..."]);
        assert_eq!(texts(&[" so", " \""], true), [" so \""]);
    }

    #[test]
    fn languages_without_spaces_are_split_at_characters() {
        assert_eq!(texts(&["我们", "，", "好", "。"], false), ["我们，", "好。"]);
        let bytes: Vec<&[u8]> = "好的".as_bytes().chunks(2).collect();
        assert_eq!(words(&bytes, false), [("好的".to_owned(), 0..3)]);
        let bytes: Vec<&[u8]> = "好的".as_bytes().chunks(3).collect();
        assert_eq!(words(&bytes, false), [("好".to_owned(), 0..1), ("的".to_owned(), 1..2)]);
    }

    #[test]
    fn every_token_but_those_of_punctuation_belongs_to_one_word() {
        let found = words(&[b" a", b"b", b" c", b","], true);
        assert_eq!(found, [(" ab".to_owned(), 0..2), (" c,".to_owned(), 2..3)]);
        // Characters that are cut off, within and at the end.
        let found = words(&[b" a", b"\xc3", b" b", b"\xe6", b"\x88"], true);
        assert_eq!(
            found,
            [(" a\u{fffd}".to_owned(), 0..2), (" b\u{fffd}\u{fffd}".to_owned(), 2..5)]
        );
    }
}
