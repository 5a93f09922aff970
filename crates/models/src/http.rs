use std::path::{Path, PathBuf};

use futures::StreamExt;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_RANGE, RANGE, TRANSFER_ENCODING,
};
use reqwest::{Client, Response, StatusCode, Version};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::fetch::Failure;
use crate::{Error, FileEntry, PullSettings};

/// What a server may send of a file whose size nobody knows; no model is larger.
const LARGEST: u64 = 1 << 36;

/// # Errors
/// Says why there can be no TLS, such as a machine without certificates.
pub(crate) fn client(settings: &PullSettings) -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.stall_timeout)
        .build()
        .map_err(causes)
}

/// One file from one server, to `part`.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) settings: &'a PullSettings,
    pub(crate) url: &'a Url,
    pub(crate) file: &'a FileEntry,
    pub(crate) part: &'a Path,
    /// Is told how many bytes there are, and how many there will be.
    pub(crate) report: &'a (dyn Fn(u64, Option<u64>) + Send + Sync),
}

impl Transfer<'_> {
    /// Brings `part` to its full size, going on from the bytes that are there.
    ///
    /// Where the file's SHA-256 is known it does not ask whether those came from the same server
    /// (`If-Range`): the checksum says more than any entity tag, and lets another server finish the
    /// job. Where it is not, they count only if this address gave them with a tag that still holds.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let mut fruitless = 0;
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
                Err(Failure::Interrupted(cause)) => {
                    let progress = length(self.part).await > before;
                    fruitless = if progress { 0 } else { fruitless + 1 };
                    if fruitless >= self.settings.attempts {
                        return Err(Failure::Interrupted(cause));
                    }
                    tracing::debug!(url = %self.url, cause, "transfer interrupted, resuming");
                    let delay = self.settings.retry_delay * 2_u32.pow(fruitless.min(6));
                    tokio::time::sleep(delay).await;
                }
                result => {
                    let _ = fs::remove_file(self.origin()).await;
                    return result;
                }
            }
        }
    }

    /// One request. On failure `part` holds a beginning of the file, or is gone.
    async fn resume(&self, mut have: u64) -> Result<(), Failure> {
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
                return Err(Failure::Interrupted("the server cannot resume".into()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Interrupted(status.to_string()));
            }
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => {
                return Err(Failure::NotFound(status.to_string()));
            }
            status => return Err(Failure::Refused(status.to_string())),
        };
        if let Err(cause) = self.check_head(&response, done) {
            remove(self.part).await?;
            return Err(Failure::Refused(cause));
        }
        if done == 0 {
            self.record_tag(&response).await?;
        }
        let total = self.file.size.or(response.content_length().map(|rest| done + rest));
        self.receive(response, done, total).await
    }

    /// Whether what the server announces can be the file.
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
        // Without a checksum it must be certain where the file ends, and that it is no error page.
        let header = |name: HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        if header(CONTENT_TYPE).starts_with("text/html") {
            return Err("sends a web page in place of the file".into());
        }
        let framed = response.version() >= Version::HTTP_2
            || header(TRANSFER_ENCODING).eq_ignore_ascii_case("chunked");
        if self.file.size.is_none() && offered.is_none() && !framed {
            return Err("does not say how long the file is".into());
        }
        Ok(())
    }

    async fn receive(
        &self,
        response: Response,
        mut done: u64,
        total: Option<u64>,
    ) -> Result<(), Failure> {
        let limit = total.unwrap_or(LARGEST);
        let missing = |done: u64| total.map_or(1, |total| total - done);
        let writing = |done: u64| Failure::writing(self.part, missing(done));
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
                return Err(Failure::Refused(format!(
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
                Err(Failure::Interrupted(format!("ended after {done} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Beside `part`: the address that it comes from, and the entity tag there.
    fn origin(&self) -> PathBuf {
        let mut name = self.part.as_os_str().to_owned();
        name.push(".origin");
        name.into()
    }

    async fn recorded_tag(&self) -> Option<String> {
        let text = fs::read_to_string(self.origin()).await.ok()?;
        let (url, tag) = text.split_once('\n')?;
        (url == self.url.as_str()).then(|| tag.to_owned())
    }

    async fn record_tag(&self, response: &Response) -> Result<(), Failure> {
        let origin = self.origin();
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        match tag {
            // A weak tag does not vouch for bytes.
            Some(tag) if self.file.sha256.is_none() && !tag.starts_with("W/") => {
                let text = format!("{}\n{tag}", self.url);
                fs::write(&origin, &text)
                    .await
                    .map_err(Failure::writing(&origin, text.len() as u64))
            }
            _ => remove(&origin).await,
        }
    }
}

async fn length(part: &Path) -> u64 {
    fs::metadata(part).await.map_or(0, |found| found.len())
}

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

async fn remove(part: &Path) -> Result<(), Failure> {
    match fs::remove_file(part).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Local(Error::io(part)(error)))
        }
        _ => Ok(()),
    }
}

/// `bytes 100-199/200` starts at 100.
fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
fn transport(error: reqwest::Error) -> Failure {
    let (connect, redirect) = (error.is_connect(), error.is_redirect());
    let message = causes(error);
    match (connect, redirect) {
        (true, _) => Failure::Unreachable(message),
        (_, true) => Failure::Refused(message),
        _ => Failure::Interrupted(message),
    }
}

/// reqwest's own message only says which step failed; the cause is further down.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}
