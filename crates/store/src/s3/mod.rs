mod error;
mod metadata;
mod service;

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectOutput, list_objects_v2::ListObjectsV2Output},
    primitives::ByteStream,
    types::EncodingType,
};
use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use location::Location;
use percent_encoding::percent_decode_str;

use crate::{Condition, Error, Kind, ObjectMeta, PutOptions, Store, text::causes};

pub(crate) use service::Service;

/// The largest object that is written. Everything here is written in one request; transcripts are
/// far smaller.
pub const MAX_PUT_BYTES: usize = 64 << 20;

/// How often a write is sent again when it met another one of the same object on its way.
const CONFLICT_RETRIES: u32 = 4;

/// One bucket of an S3 service. Keys are literal.
///
/// An object is only ever read with its ETag in the request (`If-Match`), and the ETag of the answer
/// is compared too, since some servers ignore the former.
pub struct S3Store {
    service: Arc<Service>,
    bucket: String,
}

impl S3Store {
    pub(crate) fn new(service: Arc<Service>, bucket: &str) -> Self {
        Self { service, bucket: bucket.into() }
    }

    fn at(&self, operation: &'static str, key: &str) -> Result<At, Error> {
        let at = self.at_prefix(operation, key);
        if key.is_empty() {
            return Err(at.error(Kind::Invalid, "the key is empty: this is a bucket"));
        }
        Location::s3(&self.bucket, key)?;
        Ok(at)
    }

    fn at_prefix(&self, operation: &'static str, key: &str) -> At {
        At { operation, uri: format!("s3://{}/{key}", self.bucket) }
    }

    fn read_timeout(&self) -> Duration {
        self.service.config().read_timeout()
    }

    /// Why a range could not be satisfied: the object ends before it, or it is another one now.
    async fn past_the_end(&self, at: &At, key: &str, etag: &str) -> Result<Bytes, Error> {
        match self.head(key).await? {
            meta if meta.etag == etag => Ok(Bytes::new()),
            _ => Err(at.changed()),
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
        let at = self.at("head", key)?;
        let request = self.service.client().await?.head_object().bucket(&self.bucket).key(key);
        let answer = request.send().await.map_err(|error| at.sdk(&error))?;
        Ok(ObjectMeta {
            key: key.into(),
            size: at.size(answer.content_length())?,
            etag: at.etag(answer.e_tag())?,
            metadata: metadata::decode(answer.metadata()),
        })
    }

    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let at = self.at("read", key)?;
        let end = range.end.min(i64::MAX as u64);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let request = self.service.client().await?.get_object().bucket(&self.bucket).key(key);
        let request = request.range(format!("bytes={}-{}", range.start, end - 1));
        let answer = match request.if_match(quoted(etag)).send().await {
            Ok(answer) => answer,
            Err(error) if status(&error) == Some(416) => {
                return self.past_the_end(&at, key, etag).await;
            }
            Err(error) => {
                let error = at.sdk(&error);
                return Err(if error.kind == Kind::Precondition { at.changed() } else { error });
            }
        };
        if at.etag(answer.e_tag())? != etag {
            return Err(at.changed());
        }
        let (first, total) = at.content_range(&answer)?;
        if first != range.start {
            return Err(at.error(Kind::Other, "the store does not answer the range asked for"));
        }
        let expected = end.min(total).saturating_sub(range.start);
        at.collect(answer.body, expected, self.read_timeout()).await
    }

    async fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let at = self.at("get", key)?;
        let request = self.service.client().await?.get_object().bucket(&self.bucket).key(key);
        let answer = request.send().await.map_err(|error| at.sdk(&error))?;
        let meta = ObjectMeta {
            key: key.into(),
            size: at.size(answer.content_length())?,
            etag: at.etag(answer.e_tag())?,
            metadata: metadata::decode(answer.metadata()),
        };
        if meta.size > limit {
            let why = format!("{} bytes, more than the {limit} expected here", meta.size);
            return Err(at.error(Kind::TooLarge, why));
        }
        let body = at.collect(answer.body, meta.size, self.read_timeout()).await?;
        Ok((meta, body))
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<String, Error> {
        let at = self.at("put", key)?;
        if body.len() > MAX_PUT_BYTES {
            let why = format!("{} bytes, more than the {MAX_PUT_BYTES} of one write", body.len());
            return Err(at.error(Kind::TooLarge, why));
        }
        let metadata =
            metadata::encode(&options.metadata).map_err(|why| at.error(Kind::Invalid, why))?;
        let client = self.service.client().await?;
        let send = || {
            let request = client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .body(ByteStream::from(body.clone()))
                .set_metadata(Some(metadata.clone()))
                .set_content_type(options.content_type.map(Into::into));
            match &options.condition {
                Condition::Always => request,
                Condition::IfAbsent => request.if_none_match("*"),
                Condition::IfMatch(etag) => request.if_match(quoted(etag)),
            }
            .send()
        };

        let mut answer = send().await;
        let mut pause = Duration::from_millis(50);
        for _ in 0..CONFLICT_RETRIES {
            if answer.as_ref().err().and_then(status) != Some(409) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            answer = send().await;
        }
        let error = match answer {
            Ok(answer) => return at.etag(answer.e_tag()),
            Err(error) => error,
        };
        let gone = error.code() == Some("NoSuchKey");
        match at.sdk(&error) {
            error if gone && matches!(options.condition, Condition::IfMatch(_)) => {
                Err(Error { kind: Kind::Precondition, ..error })
            }
            error => Err(error),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let at = self.at("delete", key)?;
        let request = self.service.client().await?.delete_object().bucket(&self.bucket).key(key);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(at.sdk(&error)),
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        let at = self.at_prefix("list", prefix);
        let prefix = prefix.to_owned();
        let pages = async move {
            let client = match self.service.client().await {
                Ok(client) => client,
                Err(error) => return stream::iter([Err(error)]).boxed(),
            };
            // Keys may hold characters that XML cannot.
            let request = client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let pages = request.encoding_type(EncodingType::Url).into_paginator().send();
            stream::unfold((pages, at), |(mut pages, at)| async move {
                let page = match pages.next().await? {
                    Ok(page) => at.listed(page),
                    Err(error) => vec![Err(at.sdk(&error))],
                };
                Some((page, (pages, at)))
            })
            .flat_map(stream::iter)
            .boxed()
        };
        pages.flatten_stream().boxed()
    }
}

/// One operation on one object.
struct At {
    operation: &'static str,
    uri: String,
}

impl At {
    fn error(&self, kind: Kind, message: impl Into<String>) -> Error {
        Error::new(kind, self.operation, &self.uri, message)
    }

    fn changed(&self) -> Error {
        self.error(Kind::Changed, "the object changed since it was opened")
    }

    fn sdk<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        error::from_sdk(self.operation, &self.uri, error)
    }

    fn etag(&self, etag: Option<&str>) -> Result<String, Error> {
        etag.map(unquoted).ok_or_else(|| self.error(Kind::Other, "the store gave no ETag"))
    }

    fn size(&self, length: Option<i64>) -> Result<u64, Error> {
        length
            .and_then(|length| u64::try_from(length).ok())
            .ok_or_else(|| self.error(Kind::Other, "the store gave no size"))
    }

    /// The first byte of an answer to a ranged request, and the size of the whole object. A server
    /// that answers with the whole object says no range.
    fn content_range(&self, answer: &GetObjectOutput) -> Result<(u64, u64), Error> {
        let Some(text) = answer.content_range() else {
            return Ok((0, self.size(answer.content_length())?));
        };
        let parse = || {
            let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
            Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
        };
        parse().ok_or_else(|| self.error(Kind::Other, format!("not a content range: {text:?}")))
    }

    /// At most `expected` bytes; fewer are a broken connection.
    async fn collect(
        &self,
        mut body: ByteStream,
        expected: u64,
        idle: Duration,
    ) -> Result<Bytes, Error> {
        let broken = |why: String| self.error(Kind::Unavailable, why);
        let expected = usize::try_from(expected)
            .map_err(|_| self.error(Kind::TooLarge, "more than this machine can address"))?;
        // No more ahead of time than a server can be trusted with.
        let mut out = BytesMut::with_capacity(expected.min(8 << 20));
        while out.len() < expected {
            match tokio::time::timeout(idle, body.next()).await {
                Ok(Some(Ok(chunk))) => out.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => {
                    return Err(broken(format!("broke off: {}", causes(&error))));
                }
                Ok(None) => return Err(broken("the answer ended early".into())),
                Err(_) => return Err(broken("the answer stalled".into())),
            }
        }
        out.truncate(expected);
        Ok(out.freeze())
    }

    fn listed(&self, page: ListObjectsV2Output) -> Vec<Result<ObjectMeta, Error>> {
        let encoded = page.encoding_type == Some(EncodingType::Url);
        let describe = |object: aws_sdk_s3::types::Object| {
            let key = object.key.unwrap_or_default();
            Ok(ObjectMeta {
                key: if encoded { self.decoded(&key)? } else { key },
                size: self.size(object.size)?,
                etag: object.e_tag.as_deref().map(unquoted).unwrap_or_default(),
                metadata: Default::default(),
            })
        };
        page.contents.unwrap_or_default().into_iter().map(describe).collect()
    }

    /// S3 encodes keys in listings as in forms: a space is `+` or `%20`, a plus is `%2B`.
    fn decoded(&self, key: &str) -> Result<String, Error> {
        let spaced = key.replace('+', " ");
        match percent_decode_str(&spaced).decode_utf8() {
            Ok(key) => Ok(key.into_owned()),
            Err(_) => Err(self.error(Kind::Invalid, format!("a key is not UTF-8: {key}"))),
        }
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

fn unquoted(etag: &str) -> String {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    inner.unwrap_or(etag).to_owned()
}

fn quoted(etag: &str) -> String {
    if etag.starts_with("W/") { etag.into() } else { format!("\"{etag}\"") }
}
