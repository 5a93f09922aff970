//! Which recordings jobs may read, and where they may write. Checked before anything is opened.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use job::{Failure, FailureCode, Job};
use location::Location;
use outbound::UrlPattern;

use crate::{
    WorkerConfig,
    failure::{failure, output_failure, source_failure},
};

/// The prefixes that the configuration allows.
#[derive(Debug)]
pub(crate) struct Allowed {
    sources: Prefixes,
    /// URLs of recordings. None unless some are listed.
    urls: Vec<UrlPattern>,
    outputs: Prefixes,
}

/// A text in `worker.sources` or `worker.outputs` that is no prefix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPrefix {
    #[error(transparent)]
    Location(#[from] location::Error),
    #[error(transparent)]
    Url(#[from] outbound::InvalidPattern),
    #[error("{0}: nothing can be written to a URL")]
    Output(String),
}

/// Returns the URLs among the prefixes of `worker.sources`.
///
/// # Errors
/// [`InvalidPrefix::Url`].
pub fn url_patterns(sources: &[String]) -> Result<Vec<UrlPattern>, InvalidPrefix> {
    let urls = sources.iter().filter(|prefix| UrlPattern::is_meant(prefix));
    Ok(urls.map(|prefix| prefix.parse()).collect::<Result<_, _>>()?)
}

/// Without any: all buckets that the worker's account reaches, and no files.
#[derive(Debug)]
struct Prefixes {
    locations: Vec<Location>,
    is_unlimited: bool,
}

impl Allowed {
    pub(crate) fn new(config: &WorkerConfig) -> Result<Self, InvalidPrefix> {
        let prefixes = |prefixes: &[String]| -> Result<Prefixes, InvalidPrefix> {
            let parse = |prefix: &String| Ok(Location::from_argument(prefix)?.as_prefix());
            let locations = prefixes.iter().filter(|prefix| !UrlPattern::is_meant(prefix));
            let locations = locations.map(parse).collect::<Result<_, location::Error>>()?;
            Ok(Prefixes { locations, is_unlimited: prefixes.is_empty() })
        };
        if let Some(output) = config.outputs.iter().find(|output| UrlPattern::is_meant(output)) {
            return Err(InvalidPrefix::Output(output.clone()));
        }
        Ok(Self {
            sources: prefixes(&config.sources)?,
            urls: url_patterns(&config.sources)?,
            outputs: prefixes(&config.outputs)?,
        })
    }

    /// Returns the keys of the configuration that set no limit.
    pub(crate) fn unlimited(&self) -> Vec<&'static str> {
        let keys = [("worker.sources", &self.sources), ("worker.outputs", &self.outputs)];
        keys.into_iter().filter(|(_, prefixes)| prefixes.is_unlimited).map(|(key, _)| key).collect()
    }

    /// Checks where a job reads and writes. The output comes first: if it is not allowed, not even
    /// the failure may be recorded there.
    ///
    /// # Errors
    /// [`FailureCode::OutputNotAllowed`], [`FailureCode::SourceNotAllowed`].
    pub(crate) fn check(&self, job: &Job) -> Result<(), Failure> {
        for uri in [&job.output, &job.records_prefix()] {
            let output: Location = uri
                .parse()
                .map_err(|error: location::Error| output_failure(&error.into(), &job.source))?;
            if !self.outputs.contain(&output) {
                let message = format!("{uri} is not below a prefix of worker.outputs");
                return Err(failure(FailureCode::OutputNotAllowed, &job.source, message));
            }
        }
        let source = job.source.location();
        let source = source.map_err(|error| source_failure(&error.into(), &job.source))?;
        let is_allowed = match &source {
            Location::Http(url) => self.urls.iter().any(|pattern| pattern.matches(url.reveal())),
            Location::S3 { .. } | Location::File(_) => self.sources.contain(&source),
        };
        let refused = |what: &str| {
            let message = format!("{what} not below a prefix of worker.sources");
            Err(failure(FailureCode::SourceNotAllowed, &job.source, message))
        };
        if !is_allowed {
            return refused("the recording is");
        }
        let voices = job.options.speakers.as_ref().and_then(|speakers| speakers.voices.as_ref());
        match voices {
            Some(voices) if !voices.parse().is_ok_and(|voices| self.sources.contain(&voices)) => {
                refused("the voice prints are")
            }
            _ => Ok(()),
        }
    }
}

impl Allowed {
    /// Returns whether something may be written at a URI.
    pub(crate) fn allows_output(&self, uri: &str) -> bool {
        uri.parse().is_ok_and(|output| self.outputs.contain(&output))
    }
}

impl Prefixes {
    fn contain(&self, location: &Location) -> bool {
        if self.is_unlimited {
            return matches!(location, Location::S3 { .. });
        }
        self.locations.iter().any(|prefix| contains(prefix, location))
    }
}

fn contains(prefix: &Location, location: &Location) -> bool {
    match (prefix, location) {
        (Location::S3 { bucket, key }, Location::S3 { bucket: other, key: below }) => {
            bucket == other && below.starts_with(key)
        }
        // Where symbolic links lead. A folder that cannot be looked at contains nothing.
        (Location::File(folder), Location::File(path)) => {
            match (folder.canonicalize(), real_path(path)) {
                (Ok(folder), Ok(path)) => path.starts_with(folder),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Returns the path without symbolic links. What does not exist yet is below its folder.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            // A link that leads nowhere exists: it must not be taken for a missing file.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && existing.symlink_metadata().is_err() =>
            {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(error);
                };
                missing.push(name);
                existing = parent;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use job::{BatchId, JobOptions, records_prefix};

    use super::*;

    fn allowed(sources: &[&str], outputs: &[&str]) -> Allowed {
        let list = |prefixes: &[&str]| prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        let config = WorkerConfig {
            sources: list(sources),
            outputs: list(outputs),
            ..WorkerConfig::default()
        };
        Allowed::new(&config).unwrap()
    }

    fn code(allowed: &Allowed, source: &str, output: &str, records: &str) -> Option<FailureCode> {
        let batch = BatchId::generate();
        let records = records_prefix(records, &batch);
        let job =
            Job::new(batch, source.to_owned(), output.to_owned(), records, JobOptions::default());
        allowed.check(&job).err().map(|failure| failure.code)
    }

    const NO_SOURCE: Option<FailureCode> = Some(FailureCode::SourceNotAllowed);
    const NO_OUTPUT: Option<FailureCode> = Some(FailureCode::OutputNotAllowed);

    #[test]
    fn without_prefixes_all_buckets_are_allowed_and_no_files() {
        let all = allowed(&[], &[]);
        assert_eq!(all.unlimited(), ["worker.sources", "worker.outputs"]);
        let code = |source, output, records| code(&all, source, output, records);
        assert_eq!(code("s3://a/x", "s3://b/y", "s3://b/"), None);
        assert_eq!(code("file:///etc/passwd", "s3://b/y", "s3://b/"), NO_SOURCE);
        assert_eq!(code("s3://a/x", "file:///srv/y", "file:///srv"), NO_OUTPUT);
    }

    #[test]
    fn urls_are_recordings_if_they_are_listed_and_never_outputs() {
        let output = ["s3://b/"];
        let code = |allowed: &Allowed, source| code(allowed, source, "s3://b/y", "s3://b");
        assert_eq!(code(&allowed(&[], &output), "https://media.example.org/a"), NO_SOURCE);
        let some = allowed(&["https://media.example.org/calls/", "s3://calls/"], &output);
        assert!(some.unlimited().is_empty());
        assert_eq!(code(&some, "https://media.example.org/calls/a?sig=x"), None);
        assert_eq!(code(&some, "s3://calls/a"), None);
        assert_eq!(code(&some, "https://media.example.org/secret"), NO_SOURCE);
        assert_eq!(code(&some, "http://media.example.org/calls/a"), NO_SOURCE);
        assert_eq!(code(&some, "https://169.254.169.254/latest/meta-data"), NO_SOURCE);
        // A URL in the list does not open all buckets.
        let urls = allowed(&["https://media.example.org/"], &output);
        assert_eq!(code(&urls, "s3://calls/a"), NO_SOURCE);
        for (sources, outputs) in
            [(vec![], vec!["https://a.org/"]), (vec!["https://a.org/?x"], vec![])]
        {
            let list = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
            let (sources, outputs) = (list(sources), list(outputs));
            let config = WorkerConfig { sources, outputs, ..WorkerConfig::default() };
            assert!(Allowed::new(&config).is_err());
        }
    }

    #[test]
    fn prefixes_end_at_a_slash() {
        let some = allowed(&["s3://calls/2026", "s3://archive"], &["s3://texts/team/"]);
        assert!(some.unlimited().is_empty());
        let code = |source, output, records| code(&some, source, output, records);
        assert_eq!(code("s3://calls/2026/a", "s3://texts/team/a", "s3://texts/team"), None);
        assert_eq!(code("s3://archive/a", "s3://texts/team/a", "s3://texts/team/"), None);
        assert_eq!(
            code("s3://calls/2026-secret/a", "s3://texts/team/a", "s3://texts/team"),
            NO_SOURCE
        );
        assert_eq!(code("s3://archives/a", "s3://texts/team/a", "s3://texts/team"), NO_SOURCE);
        assert_eq!(code("s3://archive/a", "s3://texts/b", "s3://texts/team"), NO_OUTPUT);
        // Records beside an allowed output are not allowed.
        assert_eq!(code("s3://archive/a", "s3://texts/team/a", "s3://texts"), NO_OUTPUT);
    }

    #[test]
    fn voice_prints_are_read_where_recordings_are() {
        let code = |allowed: &Allowed, voices: &str| {
            let batch = BatchId::generate();
            let speakers = job::Speakers { voices: Some(voices.to_owned()), ..Default::default() };
            let options = JobOptions { speakers: Some(speakers), ..JobOptions::default() };
            let records = records_prefix("s3://texts", &batch);
            let (source, output) = ("s3://calls/a".to_owned(), "s3://texts/a".to_owned());
            let job = Job::new(batch, source, output, records, options);
            allowed.check(&job).err().map(|failure| failure.code)
        };
        let all = allowed(&[], &["s3://texts"]);
        assert_eq!(code(&all, "s3://anywhere/voices.json"), None);
        assert_eq!(code(&all, "file:///etc/passwd"), NO_SOURCE);
        let some = allowed(&["s3://calls", "https://a.org/"], &["s3://texts"]);
        assert_eq!(code(&some, "s3://calls/voices.json"), None);
        for elsewhere in ["s3://texts/voices.json", "file:///srv/voices.json", "https://a.org/v"] {
            assert_eq!(code(&some, elsewhere), NO_SOURCE, "{elsewhere}");
        }
    }

    #[test]
    fn links_lead_out_of_no_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (inside, outside) = (folder("inside"), folder("outside"));
        fs::write(outside.join("secret"), "").unwrap();
        fs::write(inside.join("a.wav"), "").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(inside.join("a.wav"), inside.join("b.wav")).unwrap();
        symlink(outside.join("new"), inside.join("dangling")).unwrap();
        let prefix = inside.to_str().unwrap();
        let some = allowed(&[prefix], &[prefix]);
        let uri = |name: &str| Location::from_path(inside.join(name)).unwrap().to_string();
        let code = |source: &str, output: &str| code(&some, &uri(source), &uri(output), &uri(""));
        assert_eq!(code("a.wav", "new/folder/a"), None);
        assert_eq!(code("b.wav", "a"), None);
        assert_eq!(code("link/secret", "a"), NO_SOURCE);
        assert_eq!(code("../outside/secret", "a"), NO_SOURCE);
        assert_eq!(code("a.wav", "link/a"), NO_OUTPUT);
        assert_eq!(code("a.wav", "dangling/a"), NO_OUTPUT);
        assert_eq!(code("a.wav", "../a"), NO_OUTPUT);
    }
}
