//! Tells punctuation marks from the characters of words.

/// Returns whether a character is a punctuation mark. Apostrophes and hyphens belong to words, and
/// symbols such as `%` are spoken.
pub(crate) fn is_mark(c: char) -> bool {
    is_opening(c)
        || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '"' | ')' | ']' | '}')
        || matches!(c, '…' | '–' | '—' | '―' | '·' | '»' | '›' | '”' | '„' | '‟' | '‼' | '⁇'..='⁉')
        // CJK and their full-width forms
        || matches!(c, '、' | '。' | '〉' | '》' | '」' | '』' | '】' | '〕' | '〗' | '〙' | '〛' | '〜' | '・')
        || matches!(c, '！' | '）' | '，' | '．' | '：' | '；' | '？' | '］' | '｝' | '｡' | '｣' | '､' | '～')
        // Armenian, Hebrew, Arabic, Devanagari, Thai, Ethiopic, Khmer
        || matches!(c, '՜'..='՞' | '։' | '׃' | '،' | '؛' | '؟' | '۔' | '।' | '॥' | '๚' | '๛' | '፡'..='፨' | '។' | '៕')
}

/// Returns whether a mark stands before the word that it belongs to.
pub(crate) fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '¿' | '¡' | '«' | '‹' | '“')
        || matches!(
            c,
            '〈' | '《'
                | '「'
                | '『'
                | '【'
                | '〔'
                | '〖'
                | '〘'
                | '〚'
                | '（'
                | '［'
                | '｛'
                | '｢'
        )
}

/// Splits off the marks at the end of `text`.
pub(crate) fn split_closing(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(is_mark).len())
}
