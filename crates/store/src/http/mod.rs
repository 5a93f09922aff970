//! Recordings on web servers: one store per URL, read only.
//!
//! Only GET is used, because a presigned URL is signed for one method. A server that serves ranges is read as S3
//! is; of any other, the recording is downloaded to a temporary file first. Either way all bytes come from one
//! version: each response must have the same ETag (or time of modification) and size as the first one.

mod body;
mod error;
mod expiry;
mod headers;
mod service;
mod spool;

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use location::HttpUrl;
use reqwest::{Response, StatusCode};
use tokio::sync::OnceCell;

use crate::{Error, ErrorKind, ObjectMeta, PutOptions, Store};
use body::collect;
use error::Operation;
use headers::Described;
use service::Route;
use spool::Spooled;

pub(crate) use service::HttpService;
pub use service::{HttpAccess, HttpOptions};

/// The recording at one URL. Keys have no meaning: the store has this one object.
pub(crate) struct HttpStore {
    service: Arc<HttpService>,
    route: Route,
    /// The whole recording, if it cannot be read in ranges.
    spooled: OnceCell<Spooled>,
}

/// What a request for the first bytes has found.
enum Begun {
    /// The server serves ranges.
    Ranged(ObjectMeta, Described, Response),
    /// It sends the whole recording.
    Whole(Described, Response),
    Empty(ObjectMeta),
}

impl HttpStore {
    pub(crate) fn new(service: Arc<HttpService>, url: HttpUrl) -> Self {
        Self { service, route: Route::new(url), spooled: OnceCell::new() }
    }

    fn operation(&self, name: &'static str) -> Operation {
        Operation { name, uri: self.route.url().to_string() }
    }

    fn read_only(&self, name: &'static str) -> Error {
        let message =
            "recordings can be read from a URL, and nothing can be written to it or listed";
        self.operation(name).error(ErrorKind::Invalid, message)
    }

    async fn request(
        &self,
        op: &Operation,
        range: Option<&Range<u64>>,
        etag: Option<&str>,
    ) -> Result<Response, Error> {
        self.service.get(op, &self.route, range, etag).await
    }

    fn meta(&self, size: u64, etag: String, described: &Described) -> ObjectMeta {
        let (key, modified) = (self.route.url().to_string(), described.modified);
        ObjectMeta { key, size, etag, modified, metadata: Default::default() }
    }

    /// Requests the first bytes, at least one.
    async fn start(&self, op: &Operation, bytes: u64) -> Result<Begun, Error> {
        let response = self.request(op, Some(&(0..bytes.max(1))), None).await?;
        let described = op.describe(&response)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // An empty object has no first byte.
            if described.size.unwrap_or(0) > 0 {
                return Err(op.error(ErrorKind::Other, "the server refuses to send the first byte"));
            }
            let etag = described.identity().unwrap_or_default();
            return Ok(Begun::Empty(self.meta(0, etag, &described)));
        }
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(Begun::Whole(described, response));
        }
        if described.range.as_ref().is_none_or(|range| range.start != 0) {
            return Err(op.other_range());
        }
        match (described.size, described.identity()) {
            (Some(size), Some(etag)) => {
                let meta = self.meta(size, etag, &described);
                Ok(Begun::Ranged(meta, described, response))
            }
            // Nothing would tell whether two ranges belong to the same version.
            _ => {
                let response = self.request(op, None, None).await?;
                Ok(Begun::Whole(op.describe(&response)?, response))
            }
        }
    }

    /// Downloads the whole recording from a response. Returns the download that another call has made, if
    /// there is one.
    async fn spool(
        &self,
        op: &Operation,
        described: &Described,
        response: Response,
    ) -> Result<&Spooled, Error> {
        let download = async {
            let spool = self.service.spool();
            let (file, size, digest) = spool.download(op, described.size, response).await?;
            let etag = described.identity().unwrap_or(digest);
            Ok(Spooled { file: Arc::new(file), meta: self.meta(size, etag, described) })
        };
        self.spooled.get_or_try_init(|| download).await
    }
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpStore").field(self.route.url()).finish()
    }
}

#[async_trait]
impl Store for HttpStore {
    /// Downloads the recording if nothing in the header of the response tells one version from another.
    async fn head(&self, _key: &str) -> Result<ObjectMeta, Error> {
        if let Some(spooled) = self.spooled.get() {
            return Ok(spooled.meta.clone());
        }
        let op = self.operation("head");
        match self.start(&op, 1).await? {
            Begun::Ranged(meta, ..) | Begun::Empty(meta) => Ok(meta),
            Begun::Whole(described, response) => match (described.size, described.identity()) {
                (Some(size), Some(etag)) => Ok(self.meta(size, etag, &described)),
                _ => Ok(self.spool(&op, &described, response).await?.meta.clone()),
            },
        }
    }

    async fn read(&self, _key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let op = self.operation("read");
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(spooled) = self.spooled.get() {
            return spooled.read(&op, range, etag).await;
        }
        let response = self.request(&op, Some(&range), Some(etag)).await?;
        let described = op.describe(&response)?;
        match response.status() {
            StatusCode::PRECONDITION_FAILED => Err(op.changed()),
            StatusCode::RANGE_NOT_SATISFIABLE => match self.head("").await? {
                meta if meta.etag == etag => Ok(Bytes::new()),
                _ => Err(op.changed()),
            },
            _ if described.identity().as_deref() != Some(etag) => Err(op.changed()),
            StatusCode::PARTIAL_CONTENT => {
                let Some(sent) = described.range.clone().filter(|sent| sent.start == range.start)
                else {
                    return Err(op.other_range());
                };
                collect(&op, response, sent.end.min(range.end) - range.start).await
            }
            // Another server of the same name may not serve ranges.
            _ => self.spool(&op, &described, response).await?.read(&op, range, etag).await,
        }
    }

    async fn begin(&self, _key: &str, bytes: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let op = self.operation("read");
        let spooled = match self.spooled.get() {
            Some(spooled) => spooled,
            None => match self.start(&op, bytes).await? {
                Begun::Empty(meta) => return Ok((meta, Bytes::new())),
                Begun::Ranged(meta, described, response) => {
                    let sent = described.range.map_or(0, |range| range.end);
                    let body = collect(&op, response, sent.min(bytes)).await;
                    // A broken connection is no error of the object: whoever reads on tries again.
                    return Ok((meta, body.unwrap_or_default()));
                }
                Begun::Whole(described, response) => self.spool(&op, &described, response).await?,
            },
        };
        let meta = spooled.meta.clone();
        let start = spooled.read(&op, 0..bytes, &meta.etag).await?;
        Ok((meta, start))
    }

    async fn get(&self, _key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let op = self.operation("get");
        let response = self.request(&op, None, None).await?;
        let described = op.describe(&response)?;
        let too_large = |bytes: u64| {
            op.error(ErrorKind::TooLarge, format!("{bytes} bytes, the limit is {limit}"))
        };
        let body = match described.size {
            Some(size) if size > limit => return Err(too_large(size)),
            Some(size) => collect(&op, response, size).await?,
            None => {
                let body = body::collect_to_end(&op, response, limit.saturating_add(1)).await?;
                if body.len() as u64 > limit {
                    return Err(too_large(body.len() as u64));
                }
                body
            }
        };
        let etag = described.identity().unwrap_or_else(|| spool::digest(&body));
        Ok((self.meta(body.len() as u64, etag, &described), body))
    }

    async fn put(&self, _key: &str, _body: Bytes, _options: PutOptions) -> Result<String, Error> {
        Err(self.read_only("put"))
    }

    async fn delete(&self, _key: &str) -> Result<(), Error> {
        Err(self.read_only("delete"))
    }

    async fn check_writable(&self, _key: &str) -> Result<(), Error> {
        Err(self.read_only("put"))
    }

    fn list(&self, _prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        stream::iter([Err(self.read_only("list"))]).boxed()
    }
}
