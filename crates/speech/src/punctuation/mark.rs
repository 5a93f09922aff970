//! Punctuation marks, and joining them with words to text.

/// A punctuation mark after a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PunctuationMark {
    #[default]
    None,
    Comma,
    Period,
    Question,
    /// The Chinese comma between the items of a list.
    Enumeration,
    /// The network's class for other punctuation in its training texts. It is not written.
    Unknown,
}

/// Style in which marks and words are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PunctuationStyle {
    /// Full-width marks throughout, and unchanged words, as `funasr_onnx` writes.
    Chinese,
    /// Half-width marks after words of scripts with spaces, and sentences that begin with a
    /// capital, as FunASR's PyTorch code writes.
    English,
}

impl PunctuationMark {
    /// Returns the mark of a symbol in a model's `punc_list`.
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "_" => Self::None,
            "," | "，" => Self::Comma,
            "。" | "." => Self::Period,
            "?" | "？" => Self::Question,
            "、" => Self::Enumeration,
            "<unk>" => Self::Unknown,
            _ => return None,
        })
    }

    /// Returns whether the mark ends a sentence.
    pub fn ends_sentence(self) -> bool {
        matches!(self, Self::Period | Self::Question)
    }

    /// Returns the text of the mark after `word`; empty for marks that are not written.
    pub fn symbol(self, word: &str, style: PunctuationStyle) -> &'static str {
        let half = style == PunctuationStyle::English && !word.ends_with(is_unspaced);
        match (self, half) {
            (Self::None | Self::Unknown, _) => "",
            (Self::Comma, false) => "，",
            (Self::Comma, true) => ",",
            (Self::Period, false) => "。",
            (Self::Period, true) => ".",
            (Self::Question, false) => "？",
            (Self::Question, true) => "?",
            (Self::Enumeration, _) => "、",
        }
    }
}

impl PunctuationStyle {
    /// Returns the style of a language, or that of `words` if the language is unknown.
    pub fn of(language: Option<&str>, words: &[&str]) -> Self {
        let chinese = match language {
            Some(code) => matches!(code, "zh" | "yue" | "wuu" | "ja"),
            None => words.iter().any(|word| word.contains(is_unspaced)),
        };
        if chinese { Self::Chinese } else { Self::English }
    }
}

/// Joins `words` and the marks after them to one text, like FunASR: with spaces only between words
/// of scripts that have spaces. Missing `marks` count as none.
///
/// Unlike FunASR's, the spacing does not depend on the ends of windows (`funasr_onnx` writes no
/// space there, PyTorch always one, and one at the start of the text). A capitalized word keeps the
/// case of its other letters.
///
/// ```
/// use speech::punctuation::{PunctuationMark::*, PunctuationStyle, join};
/// let text = join(&["so", "it", "is"], &[Comma, None, Period], PunctuationStyle::English);
/// assert_eq!(text, "So, it is.");
/// ```
pub fn join(words: &[&str], marks: &[PunctuationMark], style: PunctuationStyle) -> String {
    let mut text = String::new();
    let mut capitalize = style == PunctuationStyle::English;
    let mut marks = marks.iter().copied();
    for (index, &word) in words.iter().enumerate() {
        let follows_spaced = index > 0 && !words[index - 1].ends_with(is_unspaced);
        if follows_spaced && !word.starts_with(is_unspaced) {
            text.push(' ');
        }
        let mut letters = word.chars();
        if capitalize && let Some(first) = letters.next() {
            text.extend(first.to_uppercase());
        }
        text.push_str(letters.as_str());
        let mark = marks.next().unwrap_or_default();
        text.push_str(mark.symbol(word, style));
        capitalize = style == PunctuationStyle::English && mark.ends_sentence();
    }
    text
}

/// Returns whether a character belongs to a script without spaces between words, or to its
/// punctuation: Han, kana, bopomofo and full-width forms.
pub(crate) fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{2E80}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE4F}'
        | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_separate_words_of_scripts_that_have_them() {
        use PunctuationMark::*;
        let words = ["我", "们", "say", "hello", "to", "café", "owners", "的"];
        let marks = [None, Comma, None, Comma, None, None, Question, Unknown];
        assert_eq!(
            join(&words, &marks, PunctuationStyle::Chinese),
            "我们，say hello， to café owners？的"
        );
        assert_eq!(
            join(&words, &marks, PunctuationStyle::English),
            "我们，say hello, to café owners?的"
        );
        assert_eq!(join(&["ABC", "is", "it"], &[Period], PunctuationStyle::English), "ABC. Is it");
        assert_eq!(
            join(&["été", "a"], &[Period, Enumeration], PunctuationStyle::English),
            "Été. A、"
        );
        assert_eq!(join(&[], &[], PunctuationStyle::English), "");
    }

    #[test]
    fn the_style_follows_the_language() {
        assert_eq!(PunctuationStyle::of(Some("zh"), &["ok"]), PunctuationStyle::Chinese);
        assert_eq!(PunctuationStyle::of(Some("en"), &["中"]), PunctuationStyle::English);
        assert_eq!(PunctuationStyle::of(None, &["ok", "中"]), PunctuationStyle::Chinese);
        assert_eq!(PunctuationStyle::of(None, &["ok"]), PunctuationStyle::English);
    }
}
