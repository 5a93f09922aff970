//! Text as it is shown: cleaned of what breaks a line or hides, and measured in cells.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// Puts text on one line and takes out what would break a file's structure or show other than it
/// reads: line separators of any kind, control characters, bidirectional overrides (an unclosed one
/// would turn around the rest of the line), byte order marks and noncharacters. Runs of spaces
/// become one. Empty if nothing visible is left.
pub(crate) fn clean(text: &str) -> String {
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
    let visible = clean.chars().any(|c| !c.is_whitespace() && cells(c) > 0);
    if visible { clean.trim().to_owned() } else { String::new() }
}

fn is_breaking_space(c: char) -> bool {
    // Not Unicode whitespace, yet some readers break lines at the information separators.
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

/// Columns of a terminal or a subtitle: 2 for full-width characters, 0 for combining ones (Unicode
/// Standard Annex #11).
fn cells(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Cells of a short text.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// A text whose every stretch is measured in constant time.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    text: &'a str,
    /// Cells before each byte, and the whole width at the end.
    before: Vec<u32>,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut before = Vec::with_capacity(text.len() + 1);
        let mut total = 0;
        for c in text.chars() {
            before.extend(std::iter::repeat_n(total, c.len_utf8()));
            total += cells(c) as u32;
        }
        before.push(total);
        Self { text, before }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Without the spaces at either end.
    pub(crate) fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let slice = &self.text[range.clone()];
        let start = range.end - slice.trim_start().len();
        start..start + slice.trim().len()
    }

    /// Cells of the bytes in `range`.
    pub(crate) fn width(&self, range: Range<usize>) -> usize {
        (self.before[range.end] - self.before[range.start]) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_leaves_one_line_of_what_can_be_seen() {
        assert_eq!(clean("  a\r\n\r\nb\u{2028}c\u{85}d\te  "), "a b c d e");
        assert_eq!(clean("a\0b\u{1b}[31m\u{feff}"), "ab[31m");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(clean("a\u{1c}b"), "a b");
        assert_eq!(clean("5\u{a0}km"), "5\u{a0}km", "a no-break space holds");
        assert_eq!(clean("مرحبا\u{200f} 👩\u{200d}🚀"), "مرحبا\u{200f} 👩\u{200d}🚀");
        for nothing in ["", " \n ", "\u{a0}", "\u{200b}\u{200d}", "\u{feff}"] {
            assert_eq!(clean(nothing), "", "{nothing:?}");
        }
    }

    #[test]
    fn full_width_characters_count_twice() {
        let measured = Measured::new("ab 你好e\u{301}");
        assert_eq!(measured.width(0..measured.text().len()), 8);
        assert_eq!(measured.width(3..9), 4);
        assert_eq!(measured.trimmed(0..3), 0..2);
        assert_eq!(width("ab 你好e\u{301}"), 8);
    }
}
