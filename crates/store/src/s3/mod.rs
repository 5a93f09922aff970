//! S3: one store per bucket, one client for all.

mod error;
mod listing;
mod metadata;
mod service;

use std::{
    fmt,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, DateTime},
    types::{EncodingType, ServerSideEncryption},
};
use backon::{ExponentialBuilder, Retryable};
use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use location::Location;
use tokio::time::Instant;

use crate::{Condition, Encryption, Error, ErrorKind, ObjectMeta, PutOptions, Store};

pub(crate) use service::Service;

/// Limit in bytes for an object that is written. Each object is written with one request, and held in
/// memory. A day of speech with the times of all words is smaller.
pub const MAX_PUT_BYTES: usize = 256 << 20;

/// A response that arrives more slowly than this is given up: 8 KiB/s is less than the bit rate of MP3.
const MIN_BYTES_PER_SECOND: u64 = 8 << 10;

/// Retries of a write that S3 refused because another write of the same object was in progress.
const CONFLICT_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_times(4)
    .with_jitter();

/// One bucket of an S3 service. Keys are literal.
///
/// Every read names the ETag of the object in the request (`If-Match`). The ETag of the response is
/// compared, too, because some servers ignore the header.
pub(crate) struct S3Store {
    service: Arc<Service>,
    bucket: String,
}

impl S3Store {
    pub(crate) fn new(service: Arc<Service>, bucket: &str) -> Self {
        Self { service, bucket: bucket.into() }
    }

    fn owner(&self) -> Option<String> {
        self.service.config().expected_bucket_owner.clone()
    }

    fn operation(&self, name: &'static str, key: &str) -> Result<Operation, Error> {
        let op = self.operation_on_prefix(name, key);
        if key.is_empty() {
            let message = "the key is empty: this is a bucket, not an object";
            return Err(op.error(ErrorKind::Invalid, message));
        }
        Location::s3(&self.bucket, key)?;
        Ok(op)
    }

    fn operation_on_prefix(&self, name: &'static str, key: &str) -> Operation {
        Operation { name, uri: format!("s3://{}/{key}", self.bucket) }
    }

    fn read_timeout(&self) -> Duration {
        self.service.config().read_timeout()
    }

    /// Returns the result of a read whose range the server cannot satisfy: no bytes if the object
    /// ends before the range, an error if the object changed.
    async fn unsatisfiable_range(
        &self,
        op: &Operation,
        key: &str,
        etag: &str,
    ) -> Result<Bytes, Error> {
        match self.head(key).await? {
            meta if meta.etag == etag => Ok(Bytes::new()),
            _ => Err(op.changed()),
        }
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Store").field(&self.bucket).finish()
    }
}

#[async_trait]
impl Store for S3Store {
    async fn head(&self, key: &str) -> Result<ObjectMeta, Error> {
        let op = self.operation("head", key)?;
        let client = self.service.client().await?;
        let request = client.head_object().bucket(&self.bucket).key(key);
        let response = match request.set_expected_bucket_owner(self.owner()).send().await {
            Ok(response) => response,
            Err(error) => {
                let error = op.sdk(error);
                // The response to HEAD has no body, so it does not say whether the object is denied or
                // the credentials are wrong.
                if !matches!(error.kind, ErrorKind::Denied | ErrorKind::Other) {
                    return Err(error);
                }
                let get = client.get_object().bucket(&self.bucket).key(key).range("bytes=0-0");
                let get = get.set_expected_bucket_owner(self.owner());
                return Err(get.send().await.err().map_or(error, |error| op.sdk(error)));
            }
        };
        Ok(ObjectMeta {
            key: key.into(),
            size: op.size(response.content_length())?,
            etag: op.etag(response.e_tag())?,
            modified: modified(response.last_modified()),
            metadata: metadata::decode(response.metadata()),
        })
    }

    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let op = self.operation("read", key)?;
        let end = range.end.min(i64::MAX as u64);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let request = self.service.client().await?.get_object().bucket(&self.bucket).key(key);
        let request = request.range(format!("bytes={}-{}", range.start, end - 1));
        let request = request.set_expected_bucket_owner(self.owner());
        let response = match request.if_match(quoted(etag)).send().await {
            Ok(response) => response,
            Err(error) if status(&error) == Some(416) => {
                return self.unsatisfiable_range(&op, key, etag).await;
            }
            Err(error) => {
                let error = op.sdk(error);
                return Err(if error.kind == ErrorKind::Precondition {
                    op.changed()
                } else {
                    error
                });
            }
        };
        if op.etag(response.e_tag())? != etag {
            return Err(op.changed());
        }
        let (first, total) = op.content_range(&response)?;
        if first != range.start {
            return Err(
                op.error(ErrorKind::Other, "the response does not start at the requested range")
            );
        }
        let expected = end.min(total).saturating_sub(range.start);
        op.collect(response.body, expected, self.read_timeout()).await
    }

    async fn begin(&self, key: &str, bytes: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let op = self.operation("read", key)?;
        let request = self.service.client().await?.get_object().bucket(&self.bucket).key(key);
        let last = bytes.clamp(1, i64::MAX as u64) - 1;
        let request = request.range(format!("bytes=0-{last}"));
        let response = match request.set_expected_bucket_owner(self.owner()).send().await {
            Ok(response) => response,
            // An empty object has no first byte.
            Err(error) if status(&error) == Some(416) => {
                return Ok((self.head(key).await?, Bytes::new()));
            }
            Err(error) => return Err(op.sdk(error)),
        };
        let (first, meta) = op.describe(key, &response)?;
        if first != 0 {
            return Ok((meta, Bytes::new()));
        }
        let body = op.collect(response.body, bytes.min(meta.size), self.read_timeout()).await;
        // A broken connection is no error of the object: whoever reads on tries again.
        Ok((meta, body.unwrap_or_default()))
    }

    async fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let op = self.operation("get", key)?;
        let request = self.service.client().await?.get_object().bucket(&self.bucket).key(key);
        let response = request.set_expected_bucket_owner(self.owner()).send().await;
        let response = response.map_err(|error| op.sdk(error))?;
        let (_, meta) = op.describe(key, &response)?;
        if meta.size > limit {
            let message = format!("{} bytes, the limit is {limit}", meta.size);
            return Err(op.error(ErrorKind::TooLarge, message));
        }
        let body = op.collect(response.body, meta.size, self.read_timeout()).await?;
        Ok((meta, body))
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<String, Error> {
        let op = self.operation("put", key)?;
        if body.len() > MAX_PUT_BYTES {
            let message = format!("{} bytes, the limit is {MAX_PUT_BYTES}", body.len());
            return Err(op.error(ErrorKind::TooLarge, message));
        }
        let metadata =
            metadata::encode(&options.metadata).map_err(|e| op.error(ErrorKind::Invalid, e))?;
        let client = self.service.client().await?;
        let config = self.service.config();
        let encryption = match config.encryption {
            Encryption::Bucket => None,
            Encryption::Aes256 => Some(ServerSideEncryption::Aes256),
            Encryption::Kms => Some(ServerSideEncryption::AwsKms),
        };
        let send = || {
            let request = client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .body(ByteStream::from(body.clone()))
                .set_expected_bucket_owner(self.owner())
                .set_server_side_encryption(encryption.clone())
                .set_ssekms_key_id(config.kms_key_id.clone())
                .set_metadata(Some(metadata.clone()))
                .set_content_type(options.content_type.map(Into::into));
            match &options.condition {
                Condition::Always => request,
                Condition::IfAbsent => request.if_none_match("*"),
                Condition::IfMatch(etag) => request.if_match(quoted(etag)),
            }
            .send()
        };

        let response = send.retry(CONFLICT_BACKOFF).when(|error| status(error) == Some(409)).await;
        let error = match response {
            Ok(response) => return op.etag(response.e_tag()),
            Err(error) => error,
        };
        let deleted = error.code() == Some("NoSuchKey");
        match op.sdk(error) {
            error if deleted && matches!(options.condition, Condition::IfMatch(_)) => {
                Err(Error { kind: ErrorKind::Precondition, ..error })
            }
            error => Err(error),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let op = self.operation("delete", key)?;
        let request = self.service.client().await?.delete_object().bucket(&self.bucket).key(key);
        match request.set_expected_bucket_owner(self.owner()).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(op.sdk(error)),
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        self.list_after(prefix, "")
    }

    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        let op = self.operation_on_prefix("list", prefix);
        let prefix = prefix.to_owned();
        let after = (!after.is_empty()).then(|| after.to_owned());
        let pages = async move {
            let client = match self.service.client().await {
                Ok(client) => client,
                Err(error) => return stream::iter([Err(error)]).boxed(),
            };
            // URL-encoded, because keys may contain characters that XML cannot represent.
            let request = client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let request = request.set_start_after(after);
            let request = request.set_expected_bucket_owner(self.owner());
            let pages = request.encoding_type(EncodingType::Url).into_paginator().send();
            stream::unfold((pages, op), |(mut pages, op)| async move {
                let page = match pages.next().await? {
                    Ok(page) => op.listed(page),
                    Err(error) => vec![Err(op.sdk(error))],
                };
                Some((page, (pages, op)))
            })
            .flat_map(stream::iter)
            .boxed()
        };
        pages.flatten_stream().boxed()
    }
}

/// One operation on one object.
struct Operation {
    name: &'static str,
    uri: String,
}

impl Operation {
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, self.name, &self.uri, message)
    }

    fn changed(&self) -> Error {
        self.error(ErrorKind::Changed, "the object changed since it was opened")
    }

    fn sdk<E>(&self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        error::from_sdk(self.name, &self.uri, error)
    }

    fn etag(&self, etag: Option<&str>) -> Result<String, Error> {
        etag.map(unquoted).ok_or_else(|| self.error(ErrorKind::Other, "the response has no ETag"))
    }

    fn size(&self, length: Option<i64>) -> Result<u64, Error> {
        length
            .and_then(|length| u64::try_from(length).ok())
            .ok_or_else(|| self.error(ErrorKind::Other, "the response has no size"))
    }

    /// Returns the position of the first byte of a response, and the size of the whole object. A
    /// response without a range contains the whole object.
    fn content_range(&self, response: &GetObjectOutput) -> Result<(u64, u64), Error> {
        let Some(text) = response.content_range() else {
            return Ok((0, self.size(response.content_length())?));
        };
        let parse = || {
            let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
            Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
        };
        parse().ok_or_else(|| {
            self.error(ErrorKind::Other, format!("the content range {text:?} is not valid"))
        })
    }

    /// Returns the position of the first byte of a response, and the description of the whole object.
    fn describe(&self, key: &str, response: &GetObjectOutput) -> Result<(u64, ObjectMeta), Error> {
        let (first, size) = self.content_range(response)?;
        let meta = ObjectMeta {
            key: key.into(),
            size,
            etag: self.etag(response.e_tag())?,
            modified: modified(response.last_modified()),
            metadata: metadata::decode(response.metadata()),
        };
        Ok((first, meta))
    }

    /// Reads a body of `expected` bytes. Ignores further bytes; fewer are a broken connection. Each chunk
    /// has `idle` to arrive, and all of them have the time of a very slow connection: a server that sends
    /// one byte a second must not hold the reader for ever.
    async fn collect(
        &self,
        mut body: ByteStream,
        expected: u64,
        idle: Duration,
    ) -> Result<Bytes, Error> {
        let broken = |message: &str| self.error(ErrorKind::Unavailable, message);
        let expected = usize::try_from(expected).map_err(|_| {
            self.error(ErrorKind::TooLarge, "more bytes than this machine can address")
        })?;
        // Limited, because a server may promise more than it sends.
        let mut out = BytesMut::with_capacity(expected.min(8 << 20));
        let slowest = Duration::from_secs(expected as u64 / MIN_BYTES_PER_SECOND);
        // Twice the idle time, so that a small body that stalls is not taken for a slow one.
        let deadline = Instant::now() + 2 * idle + slowest;
        let mut last_chunk = Instant::now();
        while out.len() < expected {
            let next = tokio::time::timeout_at(deadline.min(last_chunk + idle), body.next());
            match next.await {
                Ok(Some(Ok(chunk))) => {
                    out.extend_from_slice(&chunk);
                    last_chunk = Instant::now();
                }
                Ok(Some(Err(error))) => {
                    return Err(broken("the connection broke").with_source(error));
                }
                Ok(None) => return Err(broken("the response ended early")),
                Err(_) if last_chunk.elapsed() >= idle => {
                    return Err(broken("the response stalled"));
                }
                Err(_) => return Err(broken("the response is too slow")),
            }
        }
        out.truncate(expected);
        Ok(out.freeze())
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Returns a time of the server; `None` if there is none, or none that this machine can represent.
fn modified(time: Option<&DateTime>) -> Option<SystemTime> {
    time.and_then(|time| SystemTime::try_from(*time).ok())
}

fn unquoted(etag: &str) -> String {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    inner.unwrap_or(etag).to_owned()
}

fn quoted(etag: &str) -> String {
    if etag.starts_with("W/") { etag.into() } else { format!("\"{etag}\"") }
}
