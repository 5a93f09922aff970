//! Escapes text for the places of a page in which it stands.

/// Escapes text for an element or for an attribute in quotation marks.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes JSON for a `script` element: no tag and no comment can begin in it. The characters occur only in strings,
/// where their escapes mean the same.
pub(super) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Longest language tag that is written.
const MAX_LANGUAGE: usize = 35;

/// Returns a language code if it has the form of one (BCP 47: letters, digits and hyphens).
pub(super) fn language_tag(code: &str) -> Option<&str> {
    let is_tag = (2..=MAX_LANGUAGE).contains(&code.len())
        && code.starts_with(|c: char| c.is_ascii_alphabetic())
        && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_tag.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            escape("<a href='x' b=\"&\">"),
            "&lt;a href=&#39;x&#39; b=&quot;&amp;&quot;&gt;"
        );
    }

    #[test]
    fn no_tag_begins_in_json_and_its_meaning_stays() {
        let text = "</script><!--<script>]]>&amp;\u{2028}\u{2029}";
        let json = serde_json::to_string(text).unwrap_or_default();
        let escaped = escape_json(&json);
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str(&escaped).ok(), Some(text.to_owned()));
    }

    #[test]
    fn only_language_tags_are_language_tags() {
        assert_eq!(
            ["en", "yue", "zh-Hant"].map(language_tag),
            [Some("en"), Some("yue"), Some("zh-Hant")]
        );
        assert_eq!(["", "e", "1a", "en\"", "e n", "日本"].map(language_tag), [None; 6]);
    }
}
