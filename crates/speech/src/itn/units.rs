//! Splits text into units to compare: words between spaces, and single Chinese characters.

/// Punctuation that ends a clause; no number continues across it.
const PUNCTUATION: &str = "，。？！；：、,.?!;:…";

/// A word between spaces, or one character of a script without spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit<'a> {
    pub(super) text: &'a str,
    pub(super) is_after_space: bool,
}

impl<'a> Unit<'a> {
    /// Appends the unit to `text`, after a space if it followed one and `text` is not empty.
    pub(super) fn write(&self, text: &mut String) {
        if self.is_after_space && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(self.text);
    }
}

/// Splits `text` into units.
pub(super) fn split(text: &str) -> Vec<Unit<'_>> {
    let mut units = Vec::new();
    for word in text.split_whitespace() {
        let (mut rest, mut is_after_space) = (word, true);
        while let Some(first) = rest.chars().next() {
            let end = match is_ideograph(first) {
                true => first.len_utf8(),
                false => rest.find(is_ideograph).unwrap_or(rest.len()),
            };
            let (unit, after) = rest.split_at(end);
            units.push(Unit { text: unit, is_after_space });
            (rest, is_after_space) = (after, false);
        }
    }
    units
}

/// Joins words with spaces, except next to Chinese characters.
pub(super) fn join(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        let adjoins = text.chars().next_back().is_none_or(is_ideograph)
            || word.chars().next().is_none_or(is_ideograph);
        if !adjoins {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Removes the punctuation at the end of a word.
pub(super) fn trim_punctuation(word: &str) -> &str {
    word.trim_end_matches(|c| PUNCTUATION.contains(c))
}

/// Returns whether `c` belongs to a script without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_words_and_characters() {
        let texts = |text| split(text).iter().map(|unit| unit.text).collect::<Vec<_>>().join("|");
        assert_eq!(texts("今天20号 ok  fine"), "今|天|20|号|ok|fine");
        assert_eq!(texts("  "), "");
        let spaces: Vec<_> = split("a 好b c").iter().map(|unit| unit.is_after_space).collect();
        assert_eq!(spaces, [true, true, false, true]);
        assert_eq!(join(&["我", "有", "two", "cats", "好"]), "我有two cats好");
        assert_eq!(join(&["", "a"]), "a");
        assert_eq!(
            (trim_punctuation("ok。"), trim_punctuation("a.b?!"), trim_punctuation("，")),
            ("ok", "a.b", "")
        );
    }
}
