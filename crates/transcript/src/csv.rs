//! Renders comma-separated values (RFC 4180, with line feeds) for spreadsheets: one row per segment.

use std::fmt::Write;

use crate::{Transcript, number, text, timeline::milliseconds};

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut csv = "id,start,end,track,channel,speaker,language,confidence,text\n".to_owned();
    for segment in &transcript.segments {
        let text = text::clean(&segment.text);
        if text.is_empty() {
            continue;
        }
        let start = milliseconds(segment.start);
        let end = milliseconds(segment.end).max(start);
        let number = |number: Option<u32>| number.map_or_else(String::new, |n| n.to_string());
        let speaker = segment.speaker.and_then(|_| transcript.voice(segment)).unwrap_or_default();
        let language = segment.language.as_deref().map(text::clean).unwrap_or_default();
        let fields = [
            segment.id.to_string(),
            number::seconds(start),
            number::seconds(end),
            number(segment.track),
            number(segment.channel),
            field(&speaker),
            field(&language),
            number::shortest(number::rounded_probability(segment.confidence)),
            field(&text),
        ];
        let _infallible = writeln!(csv, "{}", fields.join(","));
    }
    csv
}

/// Returns a text as one field. Spreadsheets would compute a text that begins like a formula; an apostrophe
/// before it, as OWASP recommends, keeps it a text.
fn field(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{mark}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{mark}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_never_formulas() {
        for (text, expected) in [
            ("plain text; with 'marks'", "plain text; with 'marks'"),
            ("a, b", "\"a, b\""),
            ("say \"yes\"", "\"say \"\"yes\"\"\""),
            ("=1+1", "'=1+1"),
            ("- Yes, I do.", "\"'- Yes, I do.\""),
            ("", ""),
        ] {
            assert_eq!(field(text), expected);
        }
    }
}
