//! Escapes text for XML.

/// Escapes a text for the content of an element or the value of an attribute in double quotes. Leaves out
/// the characters that XML 1.0 does not allow.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Also the end of `]]>`, which may not stand in text.
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A parser makes spaces of them in attributes.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_an_element_or_an_attribute() {
        assert_eq!(escape("a]]> <b c=\"d\"> & 'e'"), "a]]&gt; &lt;b c=&quot;d&quot;&gt; &amp; 'e'");
        assert_eq!(escape("a\0\u{1b}\u{ffff}b\nc"), "ab&#10;c");
    }
}
