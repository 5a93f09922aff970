//! Names of transcripts, from the names of their recordings.
//!
//! A transcript has the name of its recording, or the name without its extension, and each format adds
//! an extension of its own. Where that would be longer than file systems or S3 allow, the name is
//! shortened: its beginning, `~`, 32 hexadecimal digits of its SHA-256, and the extension. The same
//! name is always shortened in the same way, and no two names to the same one.

use formats::Format;
use location::Location;
use schemars::JsonSchema;
use sha2::{Digest, Sha256};

use crate::string_enum::string_enum;

/// Longest name of a file or folder, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// S3's limit for a key, in bytes.
const MAX_KEY_BYTES: usize = 1024;
/// Longest extension of a transcript: a longer output is shortened.
pub(crate) const TRANSCRIPT: &str = ".json";
/// Longest text that is appended to an output, which a shortened one has space for.
pub(crate) const ERROR_RECORD: &str = ".error.json";
/// Longest extension that a shortened name keeps.
const MAX_KEPT_EXTENSION: usize = 16;
const DIGEST_DIGITS: usize = 32;

/// How the transcript of a recording is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum OutputName {
    /// As the recording: `talk.mp4` gives `talk.mp4.srt`.
    #[default]
    Full,
    /// As the recording without its extension: `talk.mp4` gives `talk.srt`.
    Stem,
}

string_enum!(OutputName, "way of naming", {
    Full => "full",
    Stem => "stem",
});

/// Returns the name of a file, or its path, without its extension; `None` if it must keep it: it has
/// none, nothing else is left, or the rest would name a rendering or the error record of another output.
pub fn stem(path: &str) -> Option<&str> {
    let name = &path[path.rfind('/').map_or(0, |slash| slash + 1)..];
    let (stem, extension) = name.rsplit_once('.')?;
    let is_ordinary =
        !extension.is_empty() && !stem.trim_matches('.').is_empty() && !is_reserved(stem);
    is_ordinary.then(|| &path[..path.len() - extension.len() - 1])
}

/// Returns the location of the transcript named `relative` below `prefix`, without the extension of a
/// format, shortened where that would be too long.
///
/// # Errors
///
/// The location is too long even so, or is no path below `prefix`.
pub fn output_below(prefix: &Location, relative: &str) -> Result<Location, location::Error> {
    let (folder, name) = match relative.rsplit_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, relative),
    };
    match prefix.as_prefix() {
        Location::S3 { key, .. } => {
            let folder = folder.map_or(0, |folder| folder.len() + 1);
            let space = MAX_KEY_BYTES.saturating_sub(key.len() + folder);
            prefix.join(&format!("{}{}", &relative[..folder], fitting(name, space)))
        }
        Location::File(_) => {
            let folders = folder.into_iter().flat_map(|folder| folder.split('/'));
            let mut path = String::with_capacity(relative.len());
            for part in folders {
                path.push_str(&shorten_if(part.len() > MAX_NAME_BYTES, part, MAX_NAME_BYTES));
                path.push('/');
            }
            path.push_str(&fitting(name, MAX_NAME_BYTES));
            prefix.join(&path)
        }
        // Fails: nothing can be written there.
        Location::Http(_) => prefix.join(relative),
    }
}

/// Returns the URI of an output with an extension, which begins with a dot, shortened if the output has no
/// space for it.
pub(crate) fn with_extension(output: &str, extension: &str) -> String {
    let location = Location::parse_object(output, 0).ok();
    match location.and_then(|location| shortened_for(&location, extension)) {
        Some(shortened) => format!("{shortened}{extension}"),
        None => format!("{output}{extension}"),
    }
}

/// Returns the output with a shortened name, if its own name has no space for `extension`, which begins
/// with a dot; `None` if it has.
pub fn shortened_for(output: &Location, extension: &str) -> Option<Location> {
    let (parent, name) = (output.parent()?, output.file_name());
    let space = match &parent {
        Location::S3 { key, .. } => MAX_KEY_BYTES.saturating_sub(key.len()),
        Location::File(_) | Location::Http(_) => MAX_NAME_BYTES,
    };
    let space = space.saturating_sub(extension.len());
    if name.len() <= space {
        return None;
    }
    parent.join(&shorten_if(true, &name, space)).ok()
}

/// Returns the name of an output, so that the extension of the transcript fits into `space` bytes.
fn fitting(name: &str, space: usize) -> String {
    // A name that looks as if it were shortened could be what another one is shortened to.
    let shorten =
        name.len() + TRANSCRIPT.len() > space || looks_shortened(name) || is_reserved(name);
    shorten_if(shorten, name, space.saturating_sub(ERROR_RECORD.len()))
}

fn shorten_if(condition: bool, name: &str, max: usize) -> String {
    if !condition {
        return name.to_owned();
    }
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_KEPT_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    };
    let digest = hex::encode(&Sha256::digest(name)[..DIGEST_DIGITS / 2]);
    let tail = format!("~{digest}{extension}");
    // If there is space for nothing, the caller finds the result too long.
    let kept = stem.floor_char_boundary(max.saturating_sub(tail.len()));
    format!("{}{tail}", &stem[..kept])
}

/// Whether the end of a name would make the transcript another output's error record or rendering:
/// `talk.aws` gives `talk.aws.json`, which is a rendering of `talk`.
fn is_reserved(name: &str) -> bool {
    let in_json = Format::ALL.map(|format| format.extension().strip_suffix(TRANSCRIPT));
    let ends = in_json.into_iter().chain([ERROR_RECORD[1..].strip_suffix(TRANSCRIPT)]).flatten();
    let mut before_end = ends.filter_map(|end| name.strip_suffix(end));
    before_end.any(|rest| rest.ends_with('.'))
}

fn looks_shortened(name: &str) -> bool {
    let is_digest = |text: &str| {
        text.len() == DIGEST_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    name.rsplit_once('~')
        .is_some_and(|(_, tail)| is_digest(tail.split_once('.').map_or(tail, |(digest, _)| digest)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn output(prefix: &str, relative: &str) -> String {
        let prefix: Location = prefix.parse().unwrap_or_else(|error| panic!("{error}"));
        output_below(&prefix, relative).unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    #[test]
    fn a_stem_is_the_name_without_its_extension() {
        for (path, expected) in [
            ("talk.mp4", Some("talk")),
            ("a.b/talk.part.1.mp4", Some("a.b/talk.part.1")),
            ("a.b/talk", None),
            ("talk.", None),
            (".mp4", None),
            ("a/..mp4", None),
            // Its transcript would be the error record of `talk`.
            ("talk.error.mp4", None),
            ("error.mp4", Some("error")),
            // Its transcript would be a rendering of `talk`.
            ("talk.aws.mp4", None),
            ("talk.verbose.mp4", None),
            ("my.json.mp4", Some("my.json")),
            ("talk.aws", Some("talk")),
        ] {
            assert_eq!(stem(path), expected, "{path}");
        }
    }

    #[test]
    fn only_names_that_are_too_long_are_shortened() {
        for length in [1, 100, 250] {
            let name = "x".repeat(length);
            assert_eq!(output("file:///out/", &name), format!("file:///out/{name}"));
        }
        for length in [251, 255, 300, 1000, 1018] {
            let name = format!("{}.mkv", "x".repeat(length - 4));
            let uri = output("file:///out/", &format!("a/{name}"));
            let short = uri.strip_prefix("file:///out/a/").unwrap_or_else(|| panic!("{uri}"));
            assert_eq!(short.len(), 244, "{short}");
            assert!(short.starts_with("xxxx") && short.ends_with(".mkv"), "{short}");
            assert_eq!(output("file:///out/", &format!("a/{name}")), uri, "stable");
            // S3 has no limit for the parts of a key.
            let key = output("s3://b/out/", &name);
            assert_eq!(key.len() == "s3://b/out/".len() + length, length <= 1000, "{key}");
            assert!(key.len() - "s3://b/".len() <= 1024 - ERROR_RECORD.len(), "{key}");
        }
        let folder = "é".repeat(200);
        let uri = output("file:///out/", &format!("{folder}/a.wav"));
        let location = Location::parse_object(&uri, 0).unwrap_or_else(|error| panic!("{error}"));
        let key = location.key().unwrap_or_else(|error| panic!("{error}")).to_owned();
        assert!(key.split('/').all(|part| part.len() <= 255), "{key}");
        assert!(key.ends_with("/a.wav"), "{key}");
    }

    #[test]
    fn an_error_record_fits_where_the_transcript_does() {
        for (name, shortened) in [("a b.wav".to_owned(), false), ("é".repeat(125), true)] {
            let output = output("file:///out/", &name);
            let record = with_extension(&output, ERROR_RECORD);
            assert_eq!(record == format!("{output}.error.json"), !shortened, "{record}");
            let record = Location::parse_object(&record, 0);
            let record = record.unwrap_or_else(|error| panic!("{error}"));
            assert!(record.file_name().len() <= 255 && record.file_name().ends_with(".error.json"));
        }
    }

    #[test]
    fn a_name_is_shortened_for_an_extension_that_only_just_does_not_fit() {
        let location = |name: &str| Location::parse_object(&format!("file:///out/{name}"), 0).ok();
        for (length, shortened) in [(247, false), (248, true), (250, true)] {
            let output = location(&"x".repeat(length)).unwrap_or_else(|| panic!("{length}"));
            let found = shortened_for(&output, ".yue.srt");
            assert_eq!(found.is_some(), shortened, "{length}");
            assert!(found.is_none_or(|found| found.file_name().len() == 247));
        }
        let key = format!("s3://b/{}", "k".repeat(1010));
        let output: Location = key.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(shortened_for(&output, ".yue.srt"), None);
        assert_ne!(shortened_for(&output, ".much.longer.srt"), None);
    }

    #[test]
    fn a_name_that_ends_like_a_rendering_is_not_kept() {
        for (name, end) in
            [("a.wav.aws", ".aws"), ("a.wav.error", ".error"), ("a.whisper", ".whisper")]
        {
            let uri = output("file:///out/", name);
            assert!(
                uri.starts_with("file:///out/a") && uri.contains('~') && uri.ends_with(end),
                "{uri}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Names that differ somewhere, also those that other names are shortened to.
        #[test]
        fn no_two_names_have_the_same_output(
            names in proptest::collection::hash_set("(x|é|電){70,200}[ab]?\\.(mkv|mp4|wav)|[ab]", 1..20),
        ) {
            let prefix: Location = "file:///out/".parse().unwrap_or_else(|e| panic!("{e}"));
            let mut taken = HashMap::new();
            let mut names: Vec<_> = names.into_iter().collect();
            let shortened: Vec<_> = names
                .iter()
                .filter_map(|name| output_below(&prefix, name).ok()?.key().ok().map(str::to_owned))
                .filter_map(|key| Some(key.strip_prefix("out/")?.to_owned()))
                .collect();
            names.extend(shortened);
            names.sort();
            names.dedup();
            for name in names {
                let output = output_below(&prefix, &name).unwrap_or_else(|e| panic!("{e}"));
                prop_assert!(output.file_name().len() + TRANSCRIPT.len() <= 255);
                if let Some(other) = taken.insert(output.to_string(), name.clone()) {
                    prop_assert!(false, "{other} and {name}");
                }
            }
        }
    }
}
