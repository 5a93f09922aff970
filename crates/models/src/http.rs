use std::path::Path;

use futures::StreamExt;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::fetch::Failure;
use crate::{Error, PullSettings};

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

/// Brings `part` to `size` bytes, going on from those that are there.
///
/// It does not ask whether those came from the same server (`If-Range`): the caller knows the
/// file's SHA-256, which says more than any entity tag, and lets another server finish the job.
pub(crate) async fn download(
    client: &Client,
    settings: &PullSettings,
    url: &Url,
    part: &Path,
    size: u64,
    report: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Failure> {
    let mut fruitless = 0;
    loop {
        let mut before = length(part).await;
        if before == size {
            return Ok(());
        }
        if before > size {
            remove(part).await?;
            before = 0;
        }
        match continue_transfer(client, url, part, before, size, report).await {
            Err(Failure::Interrupted(cause)) => {
                fruitless = if length(part).await > before { 0 } else { fruitless + 1 };
                if fruitless >= settings.attempts {
                    return Err(Failure::Interrupted(cause));
                }
                tracing::debug!(%url, cause, "transfer interrupted, resuming");
                tokio::time::sleep(settings.retry_delay * 2_u32.pow(fruitless.min(6))).await;
            }
            result => return result,
        }
    }
}

async fn length(part: &Path) -> u64 {
    fs::metadata(part).await.map_or(0, |found| found.len())
}

/// One request. On failure `part` holds a beginning of the file, or is gone.
async fn continue_transfer(
    client: &Client,
    url: &Url,
    part: &Path,
    have: u64,
    size: u64,
    report: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Failure> {
    let mut request = client.get(url.clone());
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = request.send().await.map_err(transport)?;
    let mut done = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            remove(part).await?;
            return Err(Failure::Interrupted("the server cannot resume".into()));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Interrupted(status.to_string()));
        }
        status => return Err(Failure::Refused(status.to_string())),
    };
    if let Some(rest) = response.content_length()
        && rest != size - done
    {
        remove(part).await?;
        let offered = done.saturating_add(rest);
        return Err(Failure::Refused(format!("offers {offered} bytes where {size} are expected")));
    }

    let mut file = open(part, done).await.map_err(Failure::writing(part, size - done))?;
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                file.flush().await.map_err(Failure::writing(part, size - done))?;
                return Err(transport(error));
            }
        };
        if piece.len() as u64 > size - done {
            remove(part).await?;
            return Err(Failure::Refused(format!("sends more than the {size} bytes expected")));
        }
        file.write_all(&piece).await.map_err(Failure::writing(part, size - done))?;
        done += piece.len() as u64;
        report(done);
    }
    file.flush().await.map_err(Failure::writing(part, size - done))?;
    if done < size {
        return Err(Failure::Interrupted(format!("ended after {done} of {size} bytes")));
    }
    Ok(())
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
