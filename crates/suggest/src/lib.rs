//! Which name was meant by one that does not exist.

/// Separators of the parts of names, as in `whisper-large-v3`.
const SEPARATORS: [char; 4] = ['-', '_', ' ', '/'];
/// Names longer than this are not compared: the comparison takes time in proportion to the square.
const MAX_LENGTH: usize = 100;

/// Returns the one of `names` that somebody probably meant who wrote `written`; `None` if none is close.
///
/// A name is close if it has all parts of what was written in their order, or the other way around, or if
/// it differs, with or without its first parts, in at most one character of five.
///
/// ```
/// let names = ["whisper-tiny.en", "whisper-tiny", "whisper-base", "whisper-large-v3"];
/// assert_eq!(suggest::closest("whisper-tinny", names), Some("whisper-tiny"));
/// assert_eq!(suggest::closest("tiny.en", names), Some("whisper-tiny.en"));
/// assert_eq!(suggest::closest("Large-v3", names), Some("whisper-large-v3"));
/// assert_eq!(suggest::closest("faster-whisper-base", names), Some("whisper-base"));
/// assert_eq!(suggest::closest("conformer", names), None);
/// ```
pub fn closest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    if written.is_empty() || written.len() > MAX_LENGTH {
        return None;
    }
    let written = written.to_lowercase();
    let parts = |name: &str| name.split(SEPARATORS).map(str::to_owned).collect::<Vec<_>>();
    let wanted = parts(&written);
    // Of names with the same number of further parts, `min_by_key` takes the first.
    let by_parts = names.clone().into_iter().filter_map(|name| {
        let found = parts(&name.to_lowercase());
        let is_part = is_subsequence(&wanted, &found) || is_subsequence(&found, &wanted);
        is_part.then(|| (wanted.len().abs_diff(found.len()), name))
    });
    if let Some((_, name)) = by_parts.min_by_key(|&(further, _)| further) {
        return Some(name);
    }
    // Nothing is close to one or two characters.
    let length = written.chars().count();
    let allowed = (length / 5).max(usize::from(length > 2));
    let by_spelling = names.into_iter().filter_map(|name| {
        let distance = distance(&written, &name.to_lowercase());
        (distance <= allowed).then_some((distance, name))
    });
    Some(by_spelling.min_by_key(|&(distance, _)| distance)?.1)
}

fn is_subsequence(parts: &[String], of: &[String]) -> bool {
    let mut of = of.iter();
    parts.iter().all(|part| of.any(|other| other == part))
}

/// Returns the number of characters in which a name differs, with or without its first parts.
fn distance(written: &str, name: &str) -> usize {
    let starts = name.match_indices(SEPARATORS).map(|(index, separator)| index + separator.len());
    let ends = std::iter::once(0).chain(starts).map(|start| &name[start..]);
    ends.map(|end| strsim::damerau_levenshtein(written, end)).min().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 9] = [
        "fsmn-vad",
        "whisper-tiny.en",
        "whisper-tiny",
        "whisper-base",
        "whisper-large-v3",
        "whisper-large-v3-turbo",
        "distil-whisper-large-v3",
        "paraformer-zh",
        "sensevoice-small",
    ];

    #[test]
    fn finds_what_was_meant() {
        for (written, meant) in [
            ("whisper-tinny", "whisper-tiny"),
            ("whisper-tny.en", "whisper-tiny.en"),
            ("tiny.en", "whisper-tiny.en"),
            ("tiny-en", "whisper-tiny.en"),
            ("base", "whisper-base"),
            ("bsae", "whisper-base"),
            ("large-v3", "whisper-large-v3"),
            ("large", "whisper-large-v3"),
            ("large-v2", "whisper-large-v3"),
            ("turbo", "whisper-large-v3-turbo"),
            ("distil-large-v3", "distil-whisper-large-v3"),
            ("WHISPER_BASE", "whisper-base"),
            ("openai/whisper-base", "whisper-base"),
            ("Systran/faster-whisper-large-v3", "whisper-large-v3"),
            ("paraformer", "paraformer-zh"),
            ("sensevoice", "sensevoice-small"),
            ("vad", "fsmn-vad"),
        ] {
            assert_eq!(closest(written, NAMES), Some(meant), "{written}");
        }
    }

    #[test]
    fn suggests_nothing_that_is_far_off() {
        for written in
            ["", "-", "whisper-huge", "conformer", "nonesuch", "x", "é", &"-".repeat(10_000)]
        {
            assert_eq!(closest(written, NAMES), None, "{written}");
        }
    }
}
