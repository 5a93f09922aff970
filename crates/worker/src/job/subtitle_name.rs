//! Names of renderings: subtitles may carry the language of their transcript, where players look for it.

use transcript::{Format, Transcript};

/// Returns the extension of a rendering, with the language before it if `language_suffix` asks for it
/// and there is one: `en.srt`. Only subtitles have one.
pub(super) fn extension(format: Format, transcript: &Transcript, language_suffix: bool) -> String {
    // A transcript is read from a file: its text must not become another path.
    let language = transcript.language.as_deref().filter(|language| is_code(language));
    with_language(format, language.filter(|_| language_suffix))
}

fn with_language(format: Format, language: Option<&str>) -> String {
    match language.filter(|_| format.is_subtitle()) {
        Some(language) => format!("{language}.{}", format.extension()),
        None => format.extension().to_owned(),
    }
}

/// Whether this is a code of ISO 639.
fn is_code(language: &str) -> bool {
    matches!(language.len(), 2 | 3) && language.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_subtitles_carry_the_language() {
        for (format, expected) in [
            (Format::Srt, "en.srt"),
            (Format::Vtt, "en.vtt"),
            (Format::Json, "json"),
            (Format::Txt, "txt"),
            (Format::Aws, "aws.json"),
        ] {
            assert_eq!(with_language(format, Some("en")), expected);
            assert_eq!(with_language(format, None), format.extension());
        }
    }

    #[test]
    fn what_is_no_code_is_no_suffix() {
        for (language, expected) in
            [("en", true), ("yue", true), ("../x", false), ("E", false), ("", false)]
        {
            assert_eq!(is_code(language), expected, "{language}");
        }
    }
}
