//! Reads the body of a response, within limits of bytes and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::error::Operation;
use crate::{Error, ErrorKind};

/// Time for the next bytes of a response.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A response that arrives more slowly than this is given up: 8 KiB/s is less than the bit rate of MP3.
const MIN_BYTES_PER_SECOND: u64 = 8 << 10;

/// A body that is being received. A server that sends one byte a second must not hold the reader for ever.
pub(super) struct Incoming<'a> {
    op: &'a Operation,
    response: Response,
    start: Instant,
    received: u64,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(op: &'a Operation, response: Response) -> Self {
        Self { op, response, start: Instant::now(), received: 0 }
    }

    /// Returns the next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let broken = |message: &str| self.op.error(ErrorKind::Unavailable, message);
        let now = Instant::now();
        let slowest = Duration::from_secs(self.received / MIN_BYTES_PER_SECOND);
        // Twice the idle time, so that a small body that stalls is not taken for a slow one.
        let deadline = self.start + 2 * IDLE_TIMEOUT + slowest;
        let chunk = match timeout_at(deadline.min(now + IDLE_TIMEOUT), self.response.chunk()).await
        {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                return Err(broken("the connection broke").with_source(error.without_url()));
            }
            Err(_) if now.elapsed() >= IDLE_TIMEOUT => {
                return Err(broken("the response stalled"));
            }
            Err(_) => return Err(broken("the response is too slow")),
        };
        self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }
}

/// Reads a body of `expected` bytes. Ignores further bytes; fewer are a broken connection.
pub(super) async fn collect(
    op: &Operation,
    response: Response,
    expected: u64,
) -> Result<Bytes, Error> {
    let body = collect_to_end(op, response, expected).await?;
    if (body.len() as u64) < expected {
        return Err(op.error(ErrorKind::Unavailable, "the response ended early"));
    }
    Ok(body)
}

/// Reads at most `limit` bytes of a body.
pub(super) async fn collect_to_end(
    op: &Operation,
    response: Response,
    limit: u64,
) -> Result<Bytes, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Limited, because a server may promise more than it sends.
    let mut out = BytesMut::with_capacity(limit.min(8 << 20));
    let mut incoming = Incoming::new(op, response);
    while out.len() < limit {
        let Some(chunk) = incoming.next().await? else { break };
        out.extend_from_slice(&chunk[..chunk.len().min(limit - out.len())]);
    }
    Ok(out.freeze())
}
