//! Downloads one file over HTTP, resuming transfers that break off.

use std::path::{Path, PathBuf};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use errors::Chain;
use futures::StreamExt;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_RANGE, RANGE, TRANSFER_ENCODING,
};
use reqwest::{Client, Response, StatusCode, Version};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::options::{PullOptions, Report};
use super::source_error::SourceError;
use crate::FileEntry;

/// Bytes that a server may send of a file whose size is unknown: larger than any model.
const MAX_BYTES: u64 = 1 << 36;

/// Creates the HTTP client.
///
/// # Errors
/// Why there can be no TLS, for example because the machine has no certificates.
pub(crate) fn client(options: &PullOptions) -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.stall_timeout)
        .build()
        .map_err(|error| Chain(&error).to_string())
}

/// Transfer of one file from one server to `part`.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) options: &'a PullOptions,
    pub(crate) url: &'a Url,
    pub(crate) file: &'a FileEntry,
    pub(crate) part: &'a Path,
    pub(crate) report: Report<'a>,
}

impl Transfer<'_> {
    /// Completes `part`, starting from the bytes that are already there.
    ///
    /// Where the file's SHA-256 is known, it does not matter whether those bytes came from the same
    /// server (`If-Range`): the checksum proves more than any entity tag, and any server can complete
    /// the file. Where it is unknown, they are used only if this address sent them with an entity tag
    /// that is still valid.
    pub(crate) async fn run(&self) -> Result<(), SourceError> {
        let mut delays = self.delays(self.options.attempts.saturating_sub(1));
        loop {
            let mut before = length(self.part).await;
            match self.file.size {
                Some(size) if before == size && self.file.sha256.is_some() => return Ok(()),
                Some(size) if before > size => {
                    remove(self.part).await?;
                    before = 0;
                }
                _ => {}
            }
            match self.resume(before).await {
                Err(SourceError::Interrupted(cause)) => {
                    if length(self.part).await > before {
                        delays = self.delays(self.options.attempts);
                    }
                    let Some(delay) = delays.next() else {
                        return Err(SourceError::Interrupted(cause));
                    };
                    tracing::debug!(url = %self.url, cause, "transfer interrupted, resuming");
                    tokio::time::sleep(delay).await;
                }
                result => {
                    let _ = fs::remove_file(self.origin()).await;
                    return result;
                }
            }
        }
    }

    /// Returns the delays before this many more attempts.
    fn delays(&self, attempts: u32) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(self.options.retry_delay)
            .with_max_delay(self.options.retry_delay * 64)
            .with_max_times(attempts as usize)
            .with_jitter()
            .build()
    }

    /// Makes one request. On failure, `part` holds the beginning of the file or does not exist.
    async fn resume(&self, mut have: u64) -> Result<(), SourceError> {
        let mut request = self.client.get(self.url.clone());
        if have > 0 && self.file.sha256.is_none() {
            match self.recorded_tag().await {
                Some(tag) => request = request.header(IF_RANGE, tag),
                None => have = 0,
            }
        }
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(transport)?;
        let done = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                remove(self.part).await?;
                return Err(SourceError::Interrupted("the server cannot resume".into()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(SourceError::Interrupted(status.to_string()));
            }
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => {
                return Err(SourceError::NotFound(status.to_string()));
            }
            status => return Err(SourceError::Refused(status.to_string())),
        };
        if let Err(cause) = self.check_head(&response, done) {
            remove(self.part).await?;
            return Err(SourceError::Refused(cause));
        }
        if done == 0 {
            self.record_tag(&response).await?;
        }
        let total = self.file.size.or(response.content_length().map(|rest| done + rest));
        self.receive(response, done, total).await
    }

    /// Checks that the response can be the file, by its headers.
    fn check_head(&self, response: &Response, done: u64) -> Result<(), String> {
        let offered = response.content_length().map(|rest| done.saturating_add(rest));
        if let (Some(size), Some(offered)) = (self.file.size, offered)
            && size != offered
        {
            return Err(format!("offers {offered} bytes where {size} are expected"));
        }
        if self.file.sha256.is_some() {
            return Ok(());
        }
        // Without a checksum, the response must say where the file ends, and must not be a web page.
        let header = |name: HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        if header(CONTENT_TYPE).starts_with("text/html") {
            return Err("sends a web page instead of the file".into());
        }
        let is_framed = response.version() >= Version::HTTP_2
            || header(TRANSFER_ENCODING).eq_ignore_ascii_case("chunked");
        if self.file.size.is_none() && offered.is_none() && !is_framed {
            return Err("does not say how long the file is".into());
        }
        Ok(())
    }

    /// Appends the body of a response to `part`, of which `done` bytes are there.
    async fn receive(
        &self,
        response: Response,
        mut done: u64,
        total: Option<u64>,
    ) -> Result<(), SourceError> {
        let limit = total.unwrap_or(MAX_BYTES);
        let missing = |done: u64| total.map_or(1, |total| total - done);
        let writing = |done: u64| SourceError::writing(self.part, missing(done));
        let mut file = open(self.part, done).await.map_err(writing(done))?;
        let mut body = response.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    file.flush().await.map_err(writing(done))?;
                    return Err(transport(error));
                }
            };
            if piece.len() as u64 > limit - done {
                remove(self.part).await?;
                return Err(SourceError::Refused(format!(
                    "sends more than the {limit} bytes expected"
                )));
            }
            file.write_all(&piece).await.map_err(writing(done))?;
            done += piece.len() as u64;
            (self.report)(done, total);
        }
        file.flush().await.map_err(writing(done))?;
        match total {
            Some(total) if done < total => {
                Err(SourceError::Interrupted(format!("ended after {done} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the path of the file next to `part` that holds its address and its entity tag.
    fn origin(&self) -> PathBuf {
        let mut name = self.part.as_os_str().to_owned();
        name.push(".origin");
        name.into()
    }

    /// Returns the entity tag of `part`, if it comes from this address.
    async fn recorded_tag(&self) -> Option<String> {
        let text = fs::read_to_string(self.origin()).await.ok()?;
        let (url, tag) = text.split_once('\n')?;
        (url == self.url.as_str()).then(|| tag.to_owned())
    }

    /// Records the entity tag of the response, or forgets an earlier one.
    async fn record_tag(&self, response: &Response) -> Result<(), SourceError> {
        let origin = self.origin();
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        match tag {
            // A weak tag does not guarantee the same bytes.
            Some(tag) if self.file.sha256.is_none() && !tag.starts_with("W/") => {
                let text = format!("{}\n{tag}", self.url);
                fs::write(&origin, &text)
                    .await
                    .map_err(SourceError::writing(&origin, text.len() as u64))
            }
            _ => remove(&origin).await,
        }
    }
}

/// Returns the size of a file, or 0 if it does not exist.
async fn length(part: &Path) -> u64 {
    fs::metadata(part).await.map_or(0, |found| found.len())
}

/// Opens a file to append to its first `keep` bytes: all of them, or none.
async fn open(part: &Path, keep: u64) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    if keep == 0 {
        options.truncate(true)
    } else {
        options.append(true)
    };
    options.open(part).await
}

/// Deletes a file, if it exists.
async fn remove(part: &Path) -> Result<(), SourceError> {
    match fs::remove_file(part).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SourceError::io(part)(error))
        }
        _ => Ok(()),
    }
}

/// Returns the first byte of a range: 100 for `bytes 100-199/200`.
fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Classifies an error of a request or a transfer.
fn transport(error: reqwest::Error) -> SourceError {
    let error = error.without_url();
    let message = Chain(&error).to_string();
    if error.is_connect() {
        SourceError::Unreachable(message)
    } else if error.is_redirect() {
        SourceError::Refused(message)
    } else {
        SourceError::Interrupted(message)
    }
}
