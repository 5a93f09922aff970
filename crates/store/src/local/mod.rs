mod error;
mod folder;
mod walk;

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use location::Location;

use crate::{Error, Kind, ObjectMeta, PutOptions, Store};
use folder::Folder;
use walk::Walk;

/// How many objects of a listing are described at once.
const PAGE: usize = 1000;

/// The files under one folder. A key is the path relative to it, in UTF-8, its parts separated by
/// single slashes; parts that are empty, `.` or `..` are refused ([`Kind::Invalid`]). Symbolic links
/// to files are files, links to folders are followed by their path but not in listings, and links
/// may lead out of the folder. Everything that is no regular file is no object.
///
/// The ETag is made of size, time of modification and inode. Writing replaces the file through a
/// temporary one beside it, whose name begins with `.scriptorium-`; such names are never listed, so
/// that what a crash left behind does no harm. `IfMatch` is atomic among writers that use it;
/// `IfAbsent` is atomic against every writer.
pub struct LocalStore {
    folder: Arc<Folder>,
}

impl LocalStore {
    /// A store over an absolute folder; usually `/`. Nothing is created or looked up before the
    /// first use.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { folder: Arc::new(Folder::new(root.into())) }
    }

    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Runs one operation where it may block.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        body: impl FnOnce(&Folder, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (folder, key_) = (self.folder.clone(), key.to_owned());
        tokio::task::spawn_blocking(move || body(&folder, &key_))
            .await
            .unwrap_or_else(|failure| Err(stopped(operation, &self.folder.uri(key), &failure)))
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalStore").field(&self.root()).finish()
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn head(&self, key: &str) -> Result<ObjectMeta, Error> {
        self.run("head", key, |folder, key| folder.head(key)).await
    }

    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        let etag = etag.to_owned();
        self.run("read", key, move |folder, key| folder.read(key, range, &etag)).await
    }

    async fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error> {
        self.run("get", key, move |folder, key| folder.get(key, limit)).await
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<String, Error> {
        self.run("put", key, move |folder, key| folder.put(key, &body, &options.condition)).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.run("delete", key, |folder, key| folder.delete(key)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        let walk = match Walk::new(self.folder.clone(), prefix) {
            Ok(walk) => walk,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let uri = self.folder.uri(prefix);
        stream::unfold(Some(walk), move |walk| {
            let uri = uri.clone();
            async move {
                let mut walk = walk?;
                let page = tokio::task::spawn_blocking(move || {
                    let page: Vec<_> = walk.by_ref().take(PAGE).collect();
                    (page, walk)
                });
                match page.await {
                    Ok((page, _)) if page.is_empty() => None,
                    Ok((page, walk)) => Some((page, Some(walk))),
                    Err(failure) => Some((vec![Err(stopped("list", &uri, &failure))], None)),
                }
            }
        })
        .flat_map(stream::iter)
        .boxed()
    }
}

/// A task is lost when the runtime shuts down, or to a bug.
fn stopped(operation: &'static str, uri: &str, failure: &tokio::task::JoinError) -> Error {
    let kind = if failure.is_cancelled() { Kind::Unavailable } else { Kind::Other };
    Error::new(kind, operation, uri, format!("the operation was broken off: {failure}"))
}

/// Where a key lies, as a URI.
fn uri(root: &Path, key: &str) -> String {
    Location::File(root.join(key.trim_start_matches('/'))).to_string()
}
