//! An S3 server in this process: `s3s` implements the protocol and the signatures, a map holds the
//! objects. It accepts any key, its writes are atomic, and it fails or ignores conditions on
//! request, as some servers do.

use std::{
    collections::{BTreeMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::TryStreamExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, auth::SimpleAuth, dto::*,
    s3_error, service::S3ServiceBuilder,
};
use store::{S3Config, Secret};

pub(crate) const ACCESS_KEY: &str = "AKtest";
pub(crate) const SECRET_KEY: &str = "SKtest-secret";
pub(crate) const BUCKET: &str = "bucket";

/// A running server. It stops with the runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    objects: BTreeMap<String, Object>,
    /// Errors for the next requests.
    pub(crate) failures: VecDeque<S3ErrorCode>,
    /// Whether writes ignore `If-None-Match` and `If-Match`.
    pub(crate) ignores_write_conditions: bool,
    /// Whether `If-Match` never holds on writes.
    pub(crate) refuses_if_match: bool,
    pub(crate) ignores_read_conditions: bool,
    /// Whether reads always return the whole object.
    pub(crate) ignores_ranges: bool,
    pub(crate) requests: usize,
}

#[derive(Clone)]
struct Object {
    body: Bytes,
    metadata: Option<Metadata>,
    content_type: Option<String>,
    modified: Timestamp,
}

impl Object {
    fn etag(&self) -> ETag {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        ETag::Strong(format!("{:032x}", hasher.finish()))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, state: Arc::default() };
        let mut service = S3ServiceBuilder::new(server.clone());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        server
    }

    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            endpoint: Some(format!("http://{}", self.address)),
            force_path_style: true,
            access_key: Some(ACCESS_KEY.into()),
            secret_key: Some(Secret::new(SECRET_KEY)),
            ..S3Config::default()
        }
    }

    pub(crate) fn content_type(&self, key: &str) -> Option<String> {
        self.state.lock().unwrap().objects[key].content_type.clone()
    }

    fn admit(&self, bucket: &str) -> S3Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        if let Some(code) = state.failures.pop_front() {
            return Err(S3Error::new(code));
        }
        if bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        Ok(state)
    }
}

impl State {
    fn object(&self, key: &str) -> S3Result<Object> {
        self.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait::async_trait]
impl S3 for Server {
    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.admit(&request.input.bucket)?.object(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.body.len() as i64),
            e_tag: Some(object.etag()),
            metadata: object.metadata,
            last_modified: Some(object.modified),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let state = self.admit(&input.bucket)?;
        let object = state.object(&input.key)?;
        if let Some(ETagCondition::ETag(etag)) = &input.if_match
            && !state.ignores_read_conditions
            && *etag != object.etag()
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let size = object.body.len() as u64;
        let range = match input.range.filter(|_| !state.ignores_ranges) {
            Some(range) => Some(range.check(size)?),
            None => None,
        };
        let body = match &range {
            Some(range) => object.body.slice(range.start as usize..range.end as usize),
            None => object.body.clone(),
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(body.len() as i64),
            content_range: range.map(|r| format!("bytes {}-{}/{size}", r.start, r.end - 1)),
            e_tag: Some(object.etag()),
            metadata: object.metadata,
            last_modified: Some(object.modified),
            body: Some(Body::from(body).into()),
            ..Default::default()
        }))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let body: Vec<Bytes> = match input.body {
            Some(body) => body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?,
            None => Vec::new(),
        };
        let object = Object {
            body: body.concat().into(),
            metadata: input.metadata,
            content_type: input.content_type,
            modified: std::time::SystemTime::now().into(),
        };
        let mut state = self.admit(&input.bucket)?;
        let current = state.objects.get(&input.key).map(Object::etag);
        if !state.ignores_write_conditions {
            if input.if_none_match.is_some() && current.is_some() {
                return Err(s3_error!(PreconditionFailed));
            }
            if let Some(ETagCondition::ETag(etag)) = input.if_match {
                match current {
                    None => return Err(s3_error!(NoSuchKey)),
                    Some(current) if current != etag || state.refuses_if_match => {
                        return Err(s3_error!(PreconditionFailed));
                    }
                    Some(_) => {}
                }
            }
        }
        let etag = object.etag();
        state.objects.insert(input.key, object);
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.admit(&request.input.bucket)?.objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let state = self.admit(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.or(input.start_after).unwrap_or_default();
        let encode = |key: &str| match &input.encoding_type {
            Some(_) => url_encoded(key),
            None => key.to_owned(),
        };
        let mut matching = state
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && **key > after)
            .peekable();
        let mut last = String::new();
        let mut contents = Vec::new();
        for (key, object) in matching.by_ref().take(1000) {
            last.clone_from(key);
            contents.push(s3s::dto::Object {
                key: Some(encode(key)),
                size: Some(object.body.len() as i64),
                e_tag: Some(object.etag()),
                last_modified: Some(object.modified.clone()),
                ..Default::default()
            });
        }
        let more = matching.peek().is_some();
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(more),
            next_continuation_token: more.then_some(last),
            contents: Some(contents),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }
}

/// Encodes a key as Amazon does in listings: a space becomes `+`.
fn url_encoded(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
