//! The examples in docs/transcripts.md are the output of the code.

use std::{error::Error, fs, ops::Range};

use serde_json::Value;
use transcript::{Format, Transcript};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/transcripts.md");

/// Returns whether the format is JSON on one line, which the page shows indented.
fn is_indented(format: Format) -> bool {
    matches!(format, Format::WhisperJson | Format::VerboseJson | Format::Aws)
}

/// Returns where in the page the code block of a format is. Its last empty lines may be missing.
fn example(page: &str, format: Format) -> Option<Range<usize>> {
    let language = if is_indented(format) { "json " } else { "" };
    let begin = format!("\n```{language}{format}\n");
    let start = page.find(&begin)? + begin.len();
    let length = page[start..].find("```\n")?;
    Some(start..start + length)
}

/// `UPDATE_EXAMPLES=1` updates the page.
#[test]
fn the_examples_match_the_output() -> Result<(), Box<dyn Error>> {
    let mut page = fs::read_to_string(PAGE)?;
    let json = example(&page, Format::Json).ok_or("no example in JSON")?;
    let transcript = Transcript::from_json(page[json].as_bytes())?;
    let is_shown = |format: &Format| format.is_text() && *format != Format::Html;
    for format in Format::ALL.into_iter().filter(is_shown) {
        let place = example(&page, format).ok_or_else(|| format!("no example of {format}"))?;
        let mut rendered = String::from_utf8(transcript.render(format))?;
        let shown = &page[place.clone()];
        if is_indented(format) {
            let value: Value = serde_json::from_str(&rendered)?;
            if serde_json::from_str(shown).is_ok_and(|shown: Value| shown == value) {
                continue;
            }
            rendered = serde_json::to_string_pretty(&value)? + "\n";
        }
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            page.replace_range(place, &rendered);
        } else {
            assert_eq!(shown, rendered, "{format}: run UPDATE_EXAMPLES=1 cargo test -p transcript");
        }
    }
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(PAGE, page)?;
    }
    Ok(())
}
