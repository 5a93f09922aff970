//! The words of a segment with the punctuation around them, for formats that list words.

use crate::{
    Segment, punctuation, text,
    timeline::milliseconds,
    words::{self, PlacedWord},
};

/// A word with its times, and the punctuation after it. A segment without words is one token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// The word, with the marks that open it; empty if the segment is nothing but punctuation.
    pub(crate) content: String,
    /// Punctuation marks after the word; may be empty.
    pub(crate) closing: String,
    /// Start in milliseconds from the start of the recording.
    pub(crate) start: u64,
    /// End in milliseconds from the start of the recording, not before `start`.
    pub(crate) end: u64,
    pub(crate) confidence: f32,
    pub(crate) speaker: Option<u32>,
}

/// Text of a token before its punctuation is split off.
struct Piece {
    token: Token,
    /// Marks that stand alone after the text, behind a space.
    apart: String,
}

/// Returns the tokens of a segment whose cleaned text is `text`. Their texts, one after the other, are
/// the whole text without its white space. Where the words are not those of the text, the tokens are the words.
pub(crate) fn tokens(segment: &Segment, text: &str) -> Vec<Token> {
    let pieces = match words::place(&segment.words, text) {
        Some(placed) => placed_pieces(segment, text, &placed),
        None => unplaced_pieces(segment, text),
    };
    let mut tokens: Vec<Token> = Vec::with_capacity(pieces.len());
    // Marks before the first word.
    let mut opening = String::new();
    for Piece { mut token, apart } in pieces {
        let glued = opening.clone() + &token.content;
        let (content, closing) = punctuation::split_closing(&glued);
        let (content, closing) = (content.trim_end(), format!("{closing}{apart}"));
        if !content.is_empty() {
            opening.clear();
            (token.content, token.closing) = (content.to_owned(), closing);
            tokens.push(token);
        } else if let Some(last) = tokens.last_mut() {
            last.closing.push_str(&closing);
        } else {
            opening = closing;
        }
    }
    if tokens.is_empty() && !opening.is_empty() {
        let content = String::new();
        tokens.push(Token { content, closing: opening, ..whole(segment) });
    }
    tokens
}

/// Divides the text between the words. What follows a word and precedes the next is punctuation and white
/// space.
fn placed_pieces(segment: &Segment, text: &str, placed: &[PlacedWord<'_>]) -> Vec<Piece> {
    let mut begins = words::beginnings(placed, text);
    begins.push(text.len());
    let pieces =
        placed.iter().zip(begins.windows(2)).map(|(PlacedWord { range, word }, bounds)| {
            let head = without_space(&text[bounds[0]..range.start]);
            let tail = &text[range.end..bounds[1]];
            let (attached, apart) =
                tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len()));
            let content = format!("{head}{}{attached}", &text[range.clone()]);
            Piece { token: of_word(segment, word, content), apart: without_space(apart) }
        });
    pieces.collect()
}

/// Returns the words as they are, or the whole text if there are none.
fn unplaced_pieces(segment: &Segment, text: &str) -> Vec<Piece> {
    let words = segment.words.iter().map(|word| (word, text::clean(&word.text)));
    let mut tokens: Vec<_> = words
        .filter(|(_, text)| !text.is_empty())
        .map(|(word, text)| of_word(segment, word, text))
        .collect();
    if tokens.is_empty() {
        tokens.push(Token { content: text.to_owned(), ..whole(segment) });
    }
    tokens.into_iter().map(|token| Piece { token, apart: String::new() }).collect()
}

fn of_word(segment: &Segment, word: &crate::Word, content: String) -> Token {
    let start = milliseconds(word.start);
    Token {
        content,
        closing: String::new(),
        start,
        end: milliseconds(word.end).max(start),
        confidence: word.confidence.unwrap_or(segment.confidence),
        speaker: word.speaker.or(segment.speaker),
    }
}

/// Returns a token with the times of the segment, without text.
fn whole(segment: &Segment) -> Token {
    let start = milliseconds(segment.start);
    Token {
        content: String::new(),
        closing: String::new(),
        start,
        end: milliseconds(segment.end).max(start),
        confidence: segment.confidence,
        speaker: segment.speaker,
    }
}

fn without_space(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    /// Returns the tokens as `content|closing`; the words of the segment are separated by `/`.
    fn split(text: &str, words: &str) -> Vec<String> {
        let words = words.split('/').filter(|word| !word.is_empty());
        let words = words.map(|word| Word { text: word.to_owned(), ..Word::default() });
        let segment = Segment { words: words.collect(), ..Segment::default() };
        let show = |token: Token| format!("{}|{}", token.content, token.closing);
        tokens(&segment, text).into_iter().map(show).collect()
    }

    #[test]
    fn punctuation_follows_its_word() {
        assert_eq!(split("Hi, you.", " Hi,/ you."), ["Hi|,", "you|."]);
        assert_eq!(split("Hi, you...", "Hi/you"), ["Hi|,", "you|..."]);
        assert_eq!(split("你好，世界。", "你/好/世界"), ["你|", "好|，", "世界|。"]);
        assert_eq!(split("5 % of 5%, yes", "5/of/5/yes"), ["5|%", "of|", "5%|,", "yes|"]);
        assert_eq!(split("well - no", "well/no"), ["well|-", "no|"]);
        assert_eq!(split("twenty-one", "twenty/one"), ["twenty-|", "one|"]);
    }

    #[test]
    fn opening_marks_precede_their_word() {
        assert_eq!(
            split("he said, “No.” ($5)", "he/said/No/5"),
            ["he|", "said|,", "“No|.”", "($5|)"]
        );
        assert_eq!(split("他说：「好」。", "他/说/好"), ["他|", "说|：", "「好|」。"]);
        assert_eq!(split("¿Qué? ... Sí", "¿/Qué/?/.../Sí"), ["¿Qué|?...", "Sí|"]);
    }

    #[test]
    fn a_segment_without_words_is_one_token() {
        assert_eq!(split("Hi, you.", ""), ["Hi, you|."]);
        assert_eq!(split("...", ""), ["|..."]);
        assert_eq!(split("...", "..."), ["|..."]);
    }

    #[test]
    fn words_of_another_text_stay_as_they_are() {
        assert_eq!(split("23, yes.", "twenty/three,/yes"), ["twenty|", "three|,", "yes|"]);
    }
}
