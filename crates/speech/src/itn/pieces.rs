//! Cutting text into what can be compared: words between spaces, and single Chinese characters.

/// Ends a clause; numbers do not go on across it.
const PUNCTUATION: &str = "，。？！；：、,.?!;:…";

/// A word or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) is_after_space: bool,
}

impl<'a> Piece<'a> {
    /// Appends it as it stood in its own text; at the beginning without a space.
    pub(super) fn write(&self, text: &mut String) {
        if self.is_after_space && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(self.text);
    }
}

pub(super) fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for word in text.split_whitespace() {
        let (mut rest, mut is_after_space) = (word, true);
        while let Some(first) = rest.chars().next() {
            let end = match is_ideograph(first) {
                true => first.len_utf8(),
                false => rest.find(is_ideograph).unwrap_or(rest.len()),
            };
            let (piece, after) = rest.split_at(end);
            pieces.push(Piece { text: piece, is_after_space });
            (rest, is_after_space) = (after, false);
        }
    }
    pieces
}

/// Words as a text: with spaces except beside Chinese characters.
pub(super) fn join(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        let glued = text.chars().next_back().is_none_or(is_ideograph)
            || word.chars().next().is_none_or(is_ideograph);
        if !glued {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// A word without the punctuation at its end.
pub(super) fn bare(word: &str) -> &str {
    word.trim_end_matches(|c| PUNCTUATION.contains(c))
}

/// Scripts that do without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_and_words() {
        let texts = |text| split(text).iter().map(|piece| piece.text).collect::<Vec<_>>().join("|");
        assert_eq!(texts("今天20号 ok  fine"), "今|天|20|号|ok|fine");
        assert_eq!(texts("  "), "");
        let spaces: Vec<_> = split("a 好b c").iter().map(|piece| piece.is_after_space).collect();
        assert_eq!(spaces, [true, true, false, true]);
        assert_eq!(join(&["我", "有", "two", "cats", "好"]), "我有two cats好");
        assert_eq!(join(&["", "a"]), "a");
        assert_eq!((bare("ok。"), bare("a.b?!"), bare("，")), ("ok", "a.b", ""));
    }
}
