//! The examples in docs/transcripts.md are the output of the code.

use std::{error::Error, fs};

use transcript::{Format, Transcript};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/transcripts.md");

/// Returns the code block of the page in `format`. Its last empty lines may be missing.
fn example(page: &str, format: Format) -> Option<&str> {
    let language = if format == Format::Aws { "json aws" } else { format.name() };
    let (_, rest) = page.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("```\n").map(|(example, _)| example)
}

#[test]
fn the_examples_match_the_output() -> Result<(), Box<dyn Error>> {
    let page = fs::read_to_string(PAGE)?;
    let json = example(&page, Format::Json).ok_or("no example in JSON")?;
    let transcript = Transcript::from_json(json.as_bytes())?;
    for format in Format::ALL {
        let (shown, rendered) = (example(&page, format), transcript.render(format));
        if format == Format::Aws {
            // The page shows it indented.
            let shown: serde_json::Value = serde_json::from_str(shown.ok_or("no example")?)?;
            assert_eq!(shown, serde_json::from_str::<serde_json::Value>(&rendered)?);
        } else {
            assert_eq!(shown, Some(rendered.as_str()), "{format}");
        }
    }
    Ok(())
}
