//! As much of HTTP/1.1 as a proxy needs that passes messages on as they are.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Longest message that is passed on.
const MAX_BYTES: usize = 64 << 20;

/// A request or a response.
pub(crate) struct Message {
    /// Up to and including the empty line.
    pub(crate) head: Vec<u8>,
    /// As it was received: with the sizes of chunks, if there are any.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads a request; `None` if the client has closed the connection. `go_on` is called if the client
    /// waits for leave to send the body.
    pub(crate) async fn request<S>(stream: &mut BufReader<S>) -> io::Result<Option<Self>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let head = read_head(stream).await?;
        if head.is_empty() {
            return Ok(None);
        }
        if field(&head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(stream.get_mut(), go_on).await?;
        }
        let body = read_body(stream, &head, false).await?;
        Ok(Some(Self { head, body }))
    }

    /// Reads the response to a request with this method.
    pub(crate) async fn response<S>(stream: &mut BufReader<S>, method: &str) -> io::Result<Self>
    where
        S: tokio::io::AsyncRead + Unpin,
    {
        let mut head = read_head(stream).await?;
        while status(&head) / 100 == 1 {
            head = read_head(stream).await?;
        }
        if head.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let has_none = method == "HEAD" || matches!(status(&head), 204 | 304);
        let to_the_end = field(&head, "content-length").is_none();
        let body = if has_none { Vec::new() } else { read_body(stream, &head, to_the_end).await? };
        Ok(Self { head, body })
    }

    pub(crate) fn status(&self) -> u16 {
        status(&self.head)
    }

    /// Returns method and target of a request.
    pub(crate) fn target(&self) -> (String, String) {
        let line = String::from_utf8_lossy(&self.head);
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    pub(crate) fn whole(&self) -> Vec<u8> {
        [&self.head[..], &self.body].concat()
    }
}

fn status(head: &[u8]) -> u16 {
    let line = String::from_utf8_lossy(head);
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn field(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Reads up to and including the empty line; nothing if the connection was closed before.
async fn read_head<S: tokio::io::AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await? == 0 {
            return if head.is_empty() {
                Ok(head)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
    Ok(head)
}

async fn read_body<S: tokio::io::AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    head: &[u8],
    to_the_end: bool,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if field(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let start = body.len();
            stream.read_until(b'\n', &mut body).await?;
            let size = String::from_utf8_lossy(&body[start..]);
            let size = size.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size.min(MAX_BYTES) + 2];
            stream.read_exact(&mut chunk).await?;
            body.extend(chunk);
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match field(head, "content-length") {
        Some(length) => {
            let length: usize = length.parse().map_err(io::Error::other)?;
            body.resize(length.min(MAX_BYTES), 0);
            stream.read_exact(&mut body).await?;
        }
        None if to_the_end => {
            stream.read_to_end(&mut body).await?;
        }
        None => {}
    }
    Ok(body)
}
