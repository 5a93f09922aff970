//! Patterns among the paths: `s3://calls/2024-*/*.wav`. Shells expand those of files, unless they are
//! quoted; nobody expands those of objects.

use globset::{GlobBuilder, GlobMatcher};
use location::Location;

/// A path with wildcards, as far as nothing exists under its literal name.
#[derive(Debug)]
pub(super) struct Pattern {
    /// What comes before the first wildcard: everything below it is listed.
    pub(super) prefix: Location,
    below: GlobMatcher,
}

impl Pattern {
    /// Returns the pattern that a location is written as; `None` if it has no wildcard, or none that can be
    /// understood.
    pub(super) fn of(location: &Location) -> Option<Self> {
        let key = location.key().ok()?;
        let wildcard = key.find(['*', '?', '[', '{'])?;
        let start = key[..wildcard].rfind('/').map_or(0, |slash| slash + 1);
        let below = GlobBuilder::new(&key[start..]).literal_separator(true).build().ok()?;
        let prefix = match location {
            Location::S3 { bucket, .. } => Location::s3(bucket, &key[..start]).ok()?,
            Location::File(_) => {
                Location::from_path(format!("/{}", &key[..start])).ok()?.as_prefix()
            }
            // A query is no wildcard, and nobody lists a web server.
            Location::Http(_) => return None,
        };
        Some(Self { prefix, below: below.compile_matcher() })
    }

    /// Returns whether the pattern matches a key below the prefix.
    pub(super) fn matches(&self, relative: &str) -> bool {
        self.below.is_match(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_with_the_folder_of_the_first_wildcard() {
        for (text, prefix, matching, other) in [
            ("s3://b/calls/2024-*/*.wav", "s3://b/calls/", "2024-01/a.wav", "2024-01/x/a.wav"),
            ("s3://b/*.wav", "s3://b/", "a.wav", "x/a.wav"),
            ("/srv/in/**/a?.{wav,mp3}", "file:///srv/in/", "x/y/ab.mp3", "x/a.mp3"),
            ("/srv/in/[ab].wav", "file:///srv/in/", "a.wav", "c.wav"),
        ] {
            let pattern = Pattern::of(&Location::from_argument(text).unwrap()).unwrap();
            assert_eq!(pattern.prefix.to_string(), prefix);
            assert!(pattern.matches(matching) && !pattern.matches(other), "{text}");
        }
        for text in ["s3://b/a.wav", "/srv/a.wav", "/srv/a[.wav", "https://b/a*.wav?x=[y]"] {
            assert!(Pattern::of(&Location::from_argument(text).unwrap()).is_none(), "{text}");
        }
    }
}
