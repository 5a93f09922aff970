//! Punctuation marks, and text with them.

/// What follows a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    #[default]
    None,
    Comma,
    Period,
    Question,
    /// The Chinese comma between the items of a list.
    Enumeration,
    /// The network's class for what its training texts had besides. It is not written.
    Unknown,
}

/// How marks and words are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Full-width marks throughout, and words as they are: what `funasr_onnx` writes.
    Chinese,
    /// Half-width marks after words of scripts with spaces, and sentences that begin with a
    /// capital: what FunASR's PyTorch code writes.
    English,
}

impl Mark {
    /// From its symbol in a model's list of marks.
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

    pub fn ends_sentence(self) -> bool {
        matches!(self, Self::Period | Self::Question)
    }

    /// How it is written after `word`: empty where nothing is.
    pub fn symbol(self, word: &str, style: Style) -> &'static str {
        let half = style == Style::English && !word.ends_with(unspaced);
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

impl Style {
    /// The style of a language, or of `words` if it is not known.
    pub fn of(language: Option<&str>, words: &[&str]) -> Self {
        let chinese = match language {
            Some(code) => matches!(code, "zh" | "yue" | "wuu" | "ja"),
            None => words.iter().any(|word| word.contains(unspaced)),
        };
        if chinese { Self::Chinese } else { Self::English }
    }
}

/// One text of `words` and the marks after them, as FunASR joins them: spaces stand between words
/// of scripts that have spaces, and nowhere else. `marks` that are missing count as none.
///
/// FunASR's spacing depends on where its windows ended (no space there in `funasr_onnx`, always one
/// in PyTorch, and one at the start of the text); this does not. Nor does it lower the rest of a
/// word whose first letter it raises.
pub fn join(words: &[&str], marks: &[Mark], style: Style) -> String {
    let mut text = String::new();
    let mut capital = style == Style::English;
    let mut marks = marks.iter().copied();
    for (index, &word) in words.iter().enumerate() {
        let follows_spaced = index > 0 && !words[index - 1].ends_with(unspaced);
        if follows_spaced && !word.starts_with(unspaced) {
            text.push(' ');
        }
        let mut letters = word.chars();
        if capital && let Some(first) = letters.next() {
            text.extend(first.to_uppercase());
        }
        text.push_str(letters.as_str());
        let mark = marks.next().unwrap_or_default();
        text.push_str(mark.symbol(word, style));
        capital = style == Style::English && mark.ends_sentence();
    }
    text
}

/// Characters of scripts without spaces between words, and their marks: Han, kana, bopomofo and
/// full-width forms.
fn unspaced(character: char) -> bool {
    matches!(character,
        '\u{2E80}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE4F}'
        | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_stand_between_words_of_scripts_that_have_them() {
        use Mark::*;
        let words = ["我", "们", "say", "hello", "to", "café", "owners", "的"];
        let marks = [None, Comma, None, Comma, None, None, Question, Unknown];
        assert_eq!(join(&words, &marks, Style::Chinese), "我们，say hello， to café owners？的");
        assert_eq!(join(&words, &marks, Style::English), "我们，say hello, to café owners?的");
        assert_eq!(join(&["ABC", "is", "it"], &[Period], Style::English), "ABC. Is it");
        assert_eq!(join(&["été", "a"], &[Period, Enumeration], Style::English), "Été. A、");
        assert_eq!(join(&[], &[], Style::English), "");
    }

    #[test]
    fn the_style_follows_the_language() {
        assert_eq!(Style::of(Some("zh"), &["ok"]), Style::Chinese);
        assert_eq!(Style::of(Some("en"), &["中"]), Style::English);
        assert_eq!(Style::of(None, &["ok", "中"]), Style::Chinese);
        assert_eq!(Style::of(None, &["ok"]), Style::English);
    }
}
