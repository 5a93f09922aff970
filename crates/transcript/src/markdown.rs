//! Renders Markdown (CommonMark): paragraphs with the speaker and the time.

use std::fmt::Write;

use crate::{
    Transcript,
    paragraphs::{clock, paragraphs},
    recording_name, text,
};

pub(crate) fn render(transcript: &Transcript) -> String {
    let title = recording_name::display_name(&transcript.source.uri);
    let mut markdown = format!("# {}\n", escape(&title));
    if let Some(language) = transcript.language.as_deref().map(text::clean) {
        let _infallible = write!(markdown, "\nLanguage: {}\n", escape(&language));
    }
    for paragraph in paragraphs(transcript) {
        let voice = paragraph.voice.as_deref().map(escape);
        let voice = voice.map_or_else(String::new, |voice| format!("**{voice}** "));
        let (time, text) = (clock(paragraph.start), escape(&paragraph.text));
        let _infallible = write!(markdown, "\n{voice}[{time}] {text}\n");
    }
    markdown
}

/// Escapes what would be markup within a line. (Nothing begins a line here: headings, lists and the like
/// need no escape.)
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // `$` and `~` are markup of dialects: formulas and struck out text.
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '~' | '$') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    // A heading may end with hashes, which are not shown.
    match escaped.strip_suffix('#') {
        Some(rest) => format!("{rest}\\#"),
        None => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        assert_eq!(
            escape("<b>*no*</b> & [a](b) `c` 1_000_000"),
            "\\<b\\>\\*no\\*\\</b\\> \\& \\[a\\](b) \\`c\\` 1\\_000\\_000"
        );
        assert_eq!(escape("C#"), "C\\#");
        assert_eq!(escape("It's 5% - really!"), "It's 5% - really!");
    }
}
