//! Text for display: cleaned of line breaks and hidden characters, and measured in columns.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// Puts text on one line: line separators of any kind become spaces, and runs of spaces become one.
/// Removes characters that would break the structure of a file or falsify the display: control
/// characters, bidirectional overrides (an unclosed one would reverse the rest of the line), byte
/// order marks and noncharacters. Returns an empty string if nothing visible remains.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_breaking_space(c) {
            if !clean.is_empty() && !clean.ends_with(' ') {
                clean.push(' ');
            }
        } else if !is_hidden(c) {
            clean.push(c);
        }
    }
    let visible = clean.chars().any(|c| !c.is_whitespace() && columns(c) > 0);
    if visible { clean.trim().to_owned() } else { String::new() }
}

fn is_breaking_space(c: char) -> bool {
    // The information separators are not Unicode whitespace, but some readers break lines at them.
    let separator = ('\u{1c}'..='\u{1f}').contains(&c);
    let no_break = matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}');
    separator || (c.is_whitespace() && !no_break)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{202a}'..='\u{202e}'      // embeddings and overrides
            | '\u{2066}'..='\u{206f}'    // isolates and deprecated controls
            | '\u{feff}'                 // byte order mark
            | '\u{fff9}'..='\u{fffb}'    // interlinear annotations
            | '\u{fdd0}'..='\u{fdef}')
        || matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
}

/// Returns the width of a character in columns: 2 for full-width characters, 0 for combining ones
/// (Unicode Standard Annex #11).
fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Returns the width of a text in columns. Takes time in proportion to its length.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Returns whether a character is a full-width one.
pub(crate) fn is_wide(c: char) -> bool {
    columns(c) == 2
}

/// Returns whether a character is a full-width one of a script without spaces, which Korean is not.
pub(crate) fn is_unspaced(c: char) -> bool {
    let hangul =
        matches!(c, '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7a3}');
    is_wide(c) && !hangul
}

/// Returns what separates two texts in a line: a space, but nothing between Chinese or Japanese
/// characters.
pub(crate) fn separator(before: &str, after: &str) -> &'static str {
    let unspaced = before.chars().next_back().is_some_and(is_unspaced)
        && after.chars().next().is_some_and(is_unspaced);
    if unspaced { "" } else { " " }
}

/// Joins texts with spaces, but not between full-width characters.
pub(crate) fn join(texts: impl IntoIterator<Item = String>) -> String {
    texts
        .into_iter()
        .reduce(|joined, next| {
            let separator = separator(&joined, &next);
            joined + separator + &next
        })
        .unwrap_or_default()
}

/// Returns whether a space stands between two texts in a line.
pub(crate) fn are_apart(left: &str, right: &str) -> bool {
    !separator(left, right).is_empty()
}

/// A text with precomputed widths, so that any range is measured in constant time.
#[derive(Debug)]
pub(crate) struct MeasuredText<'a> {
    text: &'a str,
    /// Columns before each byte, and the width of the whole text at the end.
    columns_before: Vec<u32>,
}

impl<'a> MeasuredText<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut columns_before = Vec::with_capacity(text.len() + 1);
        let mut total = 0;
        for c in text.chars() {
            columns_before.extend(std::iter::repeat_n(total, c.len_utf8()));
            total += columns(c) as u32;
        }
        columns_before.push(total);
        Self { text, columns_before }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns `range` without the spaces at either end.
    pub(crate) fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let slice = &self.text[range.clone()];
        let start = range.end - slice.trim_start().len();
        start..start + slice.trim().len()
    }

    /// Returns the width in columns of the bytes in `range`.
    pub(crate) fn width(&self, range: Range<usize>) -> usize {
        (self.columns_before[range.end] - self.columns_before[range.start]) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_leaves_one_line_of_visible_text() {
        assert_eq!(clean("  a\r\n\r\nb\u{2028}c\u{85}d\te  "), "a b c d e");
        assert_eq!(clean("a\0b\u{1b}[31m\u{feff}"), "ab[31m");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(clean("a\u{1c}b"), "a b");
        assert_eq!(clean("5\u{a0}km"), "5\u{a0}km", "a no-break space is kept");
        assert_eq!(clean("مرحبا\u{200f} 👩\u{200d}🚀"), "مرحبا\u{200f} 👩\u{200d}🚀");
        for invisible in ["", " \n ", "\u{a0}", "\u{200b}\u{200d}", "\u{feff}"] {
            assert_eq!(clean(invisible), "", "{invisible:?}");
        }
    }

    #[test]
    fn full_width_characters_count_twice() {
        let measured = MeasuredText::new("ab 你好e\u{301}");
        assert_eq!(measured.width(0..measured.text().len()), 8);
        assert_eq!(measured.width(3..9), 4);
        assert_eq!(measured.trimmed(0..3), 0..2);
        assert_eq!(width("ab 你好e\u{301}"), 8);
    }

    #[test]
    fn full_width_texts_are_joined_without_a_space() {
        let joined = |texts: &[&str]| join(texts.iter().map(|&text| text.to_owned()));
        assert_eq!(joined(&["你好。", "再见。", "OK.", "Bye."]), "你好。再见。 OK. Bye.");
        assert_eq!(joined(&["안녕", "하세요"]), "안녕 하세요");
        assert_eq!(joined(&[]), "");
    }
}
