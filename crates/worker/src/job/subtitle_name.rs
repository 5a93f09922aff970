//! Names of renderings: subtitles may carry the language of their transcript, where players look for it.

use std::collections::BTreeMap;

use transcript::{Format, Segment};

/// Returns the extension of a rendering, with the language before it if `language_suffix` asks for it
/// and there is one: `en.srt`. Only subtitles have one.
pub(super) fn extension(format: Format, segments: &[Segment], language_suffix: bool) -> String {
    let language = main_language(segments).filter(|_| is_subtitle(format) && language_suffix);
    language.map_or_else(
        || format.extension().to_owned(),
        |language| format!("{language}.{}", format.extension()),
    )
}

pub(super) fn is_subtitle(format: Format) -> bool {
    matches!(format, Format::Srt | Format::Vtt)
}

/// Returns the language in which there is speech for most of the time.
fn main_language(segments: &[Segment]) -> Option<&str> {
    let mut seconds = BTreeMap::<&str, f64>::new();
    for segment in segments {
        // A transcript is read from a file: its text must not become another path.
        if let Some(language) = segment.language.as_deref().filter(|language| is_code(language)) {
            *seconds.entry(language).or_default() += segment.end - segment.start;
        }
    }
    let longest =
        seconds.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
    longest.map(|(language, _)| language)
}

/// Whether this is a code of ISO 639.
fn is_code(language: &str) -> bool {
    matches!(language.len(), 2 | 3) && language.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(spoken: &[(f64, Option<&str>)]) -> Vec<Segment> {
        let segment = |&(seconds, language): &(f64, Option<&str>)| Segment {
            end: seconds,
            language: language.map(str::to_owned),
            ..Segment::default()
        };
        spoken.iter().map(segment).collect()
    }

    #[test]
    fn subtitles_carry_the_language_of_most_of_the_speech() {
        let english =
            segments(&[(1.0, Some("de")), (5.0, Some("en")), (3.0, Some("de")), (9.0, None)]);
        assert_eq!(extension(Format::Srt, &english, true), "en.srt");
        assert_eq!(extension(Format::Vtt, &english, true), "en.vtt");
        assert_eq!(extension(Format::Srt, &english, false), "srt");
        assert_eq!(extension(Format::Json, &english, true), "json");
        assert_eq!(extension(Format::Txt, &english, true), "txt");
        assert_eq!(extension(Format::Aws, &english, true), "aws.json");
    }

    #[test]
    fn without_a_language_that_is_a_code_there_is_no_suffix() {
        for languages in [&[][..], &[(1.0, None)], &[(1.0, Some("../x")), (1.0, Some("E"))]] {
            assert_eq!(extension(Format::Srt, &segments(languages), true), "srt");
        }
    }
}
