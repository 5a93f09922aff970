//! Transcripts that are read back, and their renderings.

use ::transcript::{Format, Transcript};

/// Reads a transcript, and renders it in all formats.
pub fn transcript(bytes: &[u8]) {
    // Never fails, whatever the bytes are.
    let _ = Transcript::is_of_any_version(bytes);
    let Ok(transcript) = Transcript::from_json(bytes) else { return };
    for format in Format::ALL {
        let text = transcript.render(format);
        // The page of HTML brings its script and its style.
        let fixed = if format == Format::Html { 128 << 10 } else { 4096 };
        // No text of a segment is repeated more than a few times.
        assert!(text.len() <= fixed + 64 * bytes.len(), "{} bytes of {format}", text.len());
    }
    // Rounded once, it stays as it is.
    let json = transcript.render(Format::Json);
    let again = Transcript::from_json(&json)
        .unwrap_or_else(|error| panic!("what was written is not read: {error:?}"));
    assert_eq!(again.render(Format::Json), json);
    assert!(Transcript::is_of_any_version(&json));
}
