//! Where the transcript of each recording goes: no two recordings of a run share one.

use std::fmt;

use job::{Failure, FailureCode, OutputName, output_below, stem};
use location::Location;
use serde::Serialize;

use crate::{
    claims::{Claim, Claims},
    names::shown,
    sources::Item,
    stems::Stem,
};

/// Names the transcripts of one run.
#[derive(Debug)]
pub(crate) struct Naming {
    prefix: Location,
    name: OutputName,
    claims: Claims,
}

/// Result of naming.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Location of the transcript without the extension of a format, and why its name is not the one
    /// that was asked for.
    Output(Location, Option<Renamed>),
    /// The recording was listed before.
    Repeated,
}

/// A transcript whose name is not the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Renamed {
    /// URI of the recording.
    pub(crate) source: String,
    /// URI of the transcript, without the extension of a format.
    pub(crate) output: String,
    /// Why, in words.
    pub(crate) reason: String,
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, output) = (shown(&self.source), shown(&self.output));
        write!(f, "renamed: {source}: its transcript is {output}.*: {}", self.reason)
    }
}

/// All transcripts of a run with another name than asked for.
#[derive(Debug, Default, Serialize)]
pub(crate) struct AllRenamed {
    #[serde(rename = "renamed")]
    total: u64,
    #[serde(rename = "renamed_transcripts")]
    listed: Vec<Renamed>,
}

impl AllRenamed {
    /// Renamed transcripts that are kept for the JSON; each is also shown when it is named.
    const MAX_LISTED: usize = 100_000;

    /// Counts a transcript; returns the line to show.
    pub(crate) fn add(&mut self, renamed: Renamed) -> String {
        let line = renamed.to_string();
        self.total += 1;
        if self.listed.len() < Self::MAX_LISTED {
            self.listed.push(renamed);
        }
        line
    }

    /// Begins with the number of those that were named before.
    pub(crate) fn restore(total: u64) -> Self {
        Self { total, listed: Vec::new() }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

impl Naming {
    /// Names transcripts below `prefix`, of the recordings below `paths` paths.
    pub(crate) fn new(prefix: Location, name: OutputName, paths: usize) -> Self {
        Self { prefix, name, claims: Claims::below(paths) }
    }

    /// Remembers the output of a recording that was named before.
    pub(crate) fn restore(&self, output: &str, source: &str) {
        self.claims.claim(output, source);
    }

    /// Returns whether the outputs of recordings that were named before matter.
    pub(crate) fn needs_restore(&self) -> bool {
        self.claims.are_kept()
    }

    /// Returns where the transcript of a recording goes, which no other recording of this run has. A
    /// recording whose stem another one has keeps its extension.
    pub(crate) fn name(&self, item: &Item) -> Result<Named, Failure> {
        // Two URLs that differ in what is not shown are two recordings.
        let (source, identity) = (item.source.to_string(), item.source.to_uri());
        if let Some(output) = item.row.as_ref().and_then(|row| row.row.output.as_deref()) {
            return self.name_as_asked(output, source, &identity);
        }
        let (mut wanted, mut reason) = (item.relative.as_str(), None);
        if self.name == OutputName::Stem {
            match &item.stem {
                Stem::Free => wanted = stem(&item.relative).unwrap_or(&item.relative),
                Stem::None => {}
                Stem::TakenBy(other) => reason = Some(has_stem(other)),
                Stem::Unknown(error) => {
                    reason = Some(format!(
                        "it keeps its extension, because its folder cannot be searched for others \
                         with its stem: {error}"
                    ));
                }
            }
        }
        loop {
            let output = output_below(&self.prefix, wanted).map_err(|error| Failure {
                code: FailureCode::OutputInvalid,
                source: source.clone(),
                message: error.to_string(),
            })?;
            match self.claims.claim(&output.to_string(), &identity) {
                Claim::Granted => return Ok(self.granted(output, wanted, source, reason)),
                Claim::Repeated => return Ok(Named::Repeated),
                Claim::Taken(by) if wanted != item.relative => {
                    reason = Some(has_stem(by.as_deref().unwrap_or("another recording")));
                    wanted = &item.relative;
                }
                Claim::Taken(by) => return Err(occupied(source, by)),
            }
        }
    }

    /// Returns the output that the row of a manifest asks for: a path below the prefix, or a URI.
    fn name_as_asked(
        &self,
        output: &str,
        source: String,
        identity: &str,
    ) -> Result<Named, Failure> {
        let invalid = |source: &str, message: String| Failure {
            code: FailureCode::OutputInvalid,
            source: source.to_owned(),
            message,
        };
        let (location, renamed) = if output.contains("://") {
            let location = Location::parse_object(output, 0)
                .map_err(|error| invalid(&source, format!("output {error}")))?;
            if location.relative_to(&self.prefix).is_none() {
                let message = format!("output {output} is not below {}", self.prefix);
                return Err(invalid(&source, message));
            }
            (location, None)
        } else {
            let location = output_below(&self.prefix, output)
                .map_err(|error| invalid(&source, format!("output {error}")))?;
            if location.is_prefix() {
                let message = format!("output {output} is a folder: name the transcript");
                return Err(invalid(&source, message));
            }
            match self.granted(location, output, source.clone(), None) {
                Named::Output(location, renamed) => (location, renamed),
                Named::Repeated => return Ok(Named::Repeated),
            }
        };
        match self.claims.claim(&location.to_string(), identity) {
            Claim::Granted => Ok(Named::Output(location, renamed)),
            Claim::Repeated => Ok(Named::Repeated),
            Claim::Taken(by) => Err(occupied(source, by)),
        }
    }

    fn granted(
        &self,
        output: Location,
        wanted: &str,
        source: String,
        reason: Option<String>,
    ) -> Named {
        let is_shortened = output.relative_to(&self.prefix) != Some(wanted);
        let too_long =
            is_shortened.then(|| "its name is too long, or has a reserved end".to_owned());
        let renamed = reason.or(too_long).map(|reason| {
            let output = output.to_string();
            Renamed { source, output, reason }
        });
        Named::Output(output, renamed)
    }
}

fn occupied(source: String, by: Option<String>) -> Failure {
    let by = by.as_deref().unwrap_or("another recording");
    let message =
        format!("its transcript would replace that of {by}; give one of them another output");
    Failure { code: FailureCode::OutputOccupied, source, message }
}

fn has_stem(other: &str) -> String {
    format!("it keeps its extension, because {other} has the same stem")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ManifestRow;

    fn naming(name: OutputName, paths: usize) -> Naming {
        Naming::new("file:///out/".parse().unwrap(), name, paths)
    }

    fn item(source: &str, stem: Stem) -> Item {
        let source: Location = source.parse().unwrap();
        let relative = source.file_name().into_owned();
        Item { source, relative, size: 1, modified: None, stem, row: None }
    }

    fn output(naming: &Naming, item: &Item) -> (String, bool) {
        match naming.name(item) {
            Ok(Named::Output(output, renamed)) => (output.to_string(), renamed.is_some()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn stems_are_used_where_they_are_free_and_asked_for() {
        let talk = item("file:///in/talk.mp4", Stem::Free);
        let taken = item("file:///in/talk.wav", Stem::TakenBy("talk.mp4".to_owned()));
        let full = naming(OutputName::Full, 1);
        assert_eq!(output(&full, &talk), ("file:///out/talk.mp4".to_owned(), false));
        assert_eq!(output(&full, &taken), ("file:///out/talk.wav".to_owned(), false));
        let stem = naming(OutputName::Stem, 1);
        assert_eq!(output(&stem, &talk), ("file:///out/talk".to_owned(), false));
        assert_eq!(output(&stem, &taken), ("file:///out/talk.wav".to_owned(), true));
        let unknown = item("file:///in/b.wav", Stem::Unknown("denied".to_owned()));
        assert_eq!(output(&stem, &unknown), ("file:///out/b.wav".to_owned(), true));
        let other = item("file:///in/notes.xyz", Stem::None);
        assert_eq!(output(&stem, &other), ("file:///out/notes.xyz".to_owned(), false));
    }

    #[test]
    fn the_second_of_two_folders_keeps_its_extension_and_a_third_is_refused() {
        let naming = naming(OutputName::Stem, 2);
        let in_folder = |folder: &str| item(&format!("file:///{folder}/talk.mp4"), Stem::Free);
        assert_eq!(output(&naming, &in_folder("a")), ("file:///out/talk".to_owned(), false));
        assert_eq!(output(&naming, &in_folder("b")), ("file:///out/talk.mp4".to_owned(), true));
        for folder in ["a", "b"] {
            assert_eq!(naming.name(&in_folder(folder)), Ok(Named::Repeated));
        }
        let refused = naming.name(&in_folder("c")).unwrap_err();
        assert!(refused.message.contains("file:///b/talk.mp4"), "{refused}");
    }

    #[test]
    fn a_row_may_name_its_output() {
        let naming = naming(OutputName::Stem, usize::MAX);
        let asked = |source: &str, output: &str| {
            let row = job::Row { output: Some(output.to_owned()), ..job::Row::default() };
            let row = Some(Box::new(ManifestRow { line: 1, row }));
            naming.name(&Item { row, ..item(source, Stem::Free) })
        };
        let named = |output: &str| {
            Ok(Named::Output(format!("file:///out/{output}").parse().unwrap(), None))
        };
        assert_eq!(asked("s3://b/a.wav", "x/a"), named("x/a"));
        assert_eq!(asked("s3://b/a.wav", "x/a"), Ok(Named::Repeated));
        assert_eq!(asked("s3://b/b.wav", "file:///out/b"), named("b"));
        for (output, mention) in [
            ("x/a", "replace that of s3://b/a.wav"),
            ("file:///elsewhere/b", "not below file:///out/"),
            ("s3://b/b", "not below"),
            ("../b", "output"),
            ("x/", "output"),
            ("ftp://x", "output"),
        ] {
            let refused = asked("s3://b/c.wav", output).unwrap_err();
            assert!(refused.message.contains(mention), "{output}: {refused}");
        }
        assert_eq!(output(&naming, &item("s3://b/x.wav", Stem::Free)).0, "file:///out/x");
    }

    #[test]
    fn urls_with_other_queries_are_other_recordings() {
        let naming = naming(OutputName::Full, 2);
        let url = |query: &str| item(&format!("https://a.org/x/talk.mp3?{query}"), Stem::None);
        assert_eq!(output(&naming, &url("id=1")).0, "file:///out/talk.mp3");
        assert_eq!(naming.name(&url("id=1")), Ok(Named::Repeated));
        let refused = naming.name(&url("id=s3cret")).unwrap_err();
        assert!(refused.message.contains("that of https://a.org/x/talk.mp3?…;"), "{refused}");
        assert_eq!(refused.source, "https://a.org/x/talk.mp3?…");
    }

    #[test]
    fn a_shortened_name_is_reported() {
        let long = item(&format!("file:///in/{}.mkv", "x".repeat(251)), Stem::Free);
        for name in [OutputName::Full, OutputName::Stem] {
            let (output, renamed) = output(&naming(name, 1), &long);
            assert!(renamed && output.len() < 260, "{output}");
        }
    }
}
