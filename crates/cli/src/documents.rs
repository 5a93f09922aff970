//! Transcripts on standard output, and standard input as a source, for the commands that take either.

use transcript::{Format, RenderOptions, Transcript};

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";
/// URI of what standard input holds.
pub(crate) const STDIN_URI: &str = "file:///dev/stdin";
/// Name of what is made of it, without the extension of a format.
pub(crate) const STDIN_NAME: &str = "stdin";

/// Returns whether one stream can hold several transcripts that can be told apart: JSON has one line for
/// each, text a title, and the lines of CTM and RTTM name their recording.
pub(crate) fn has_place_for_several(format: Format) -> bool {
    matches!(format, Format::Txt | Format::Json | Format::Ctm | Format::Rttm)
}

/// Renders a transcript for standard output. `title`: the name of its recording if there may be several.
pub(crate) fn render(
    transcript: &Transcript,
    format: Format,
    options: &RenderOptions,
    title: Option<&str>,
) -> Vec<u8> {
    match (format, title) {
        (Format::Json, Some(_)) => {
            let mut line = serde_json::to_vec(transcript).unwrap_or_default();
            line.push(b'\n');
            line
        }
        (Format::Txt, Some(title)) => {
            let mut text = format!("== {title}\n").into_bytes();
            text.extend(transcript.render_with(format, options));
            text
        }
        _ => transcript.render_with(format, options),
    }
}
