//! Local files.

mod error;
mod etag;
mod folder;
mod listing;

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

use crate::{Error, ErrorKind, ObjectMeta, PutOptions, Store};
use folder::Folder;
use listing::Listing;

/// Number of objects that a listing describes per page.
const PAGE_SIZE: usize = 1000;

/// The files below one folder.
///
/// A key is the path relative to the folder, in UTF-8, with single slashes between its parts. Parts
/// that are empty, `.` or `..` are refused ([`ErrorKind::Invalid`]). A symbolic link to a file is a
/// file. A link to a folder is followed if a key names it, but not in listings, which report it. Links
/// may lead out of the folder. Only regular files are objects.
///
/// The ETag consists of size and time of modification. A write goes to a temporary file in
/// the same folder, which then replaces the file; its time differs from that of the file before. The names of temporary files begin with
/// `.scriptorium-` and are never listed, so a file that a crash left behind does no harm. `IfMatch`
/// is atomic among writers that use it; `IfAbsent` is atomic against every writer.
pub struct LocalStore {
    folder: Arc<Folder>,
}

impl LocalStore {
    /// Returns the store of an absolute folder, usually `/`. Neither creates the folder nor looks
    /// it up.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { folder: Arc::new(Folder::new(root.into())) }
    }

    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Runs one operation on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        body: impl FnOnce(&Folder, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (folder, key_) = (self.folder.clone(), key.to_owned());
        tokio::task::spawn_blocking(move || body(&folder, &key_))
            .await
            .unwrap_or_else(|failure| Err(aborted(operation, &self.folder.uri(key), failure)))
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

    async fn check_writable(&self, key: &str) -> Result<(), Error> {
        self.run("put", key, |folder, key| folder.check_writable(key)).await
    }

    fn same_content(&self, recorded: &str, current: &str) -> bool {
        etag::same_content(recorded, current)
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        self.list_after(prefix, "")
    }

    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        let listing = match Listing::new(self.folder.clone(), prefix, after) {
            Ok(listing) => listing,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let uri = self.folder.uri(prefix);
        stream::unfold(Some(listing), move |listing| {
            let uri = uri.clone();
            async move {
                let mut listing = listing?;
                let page = tokio::task::spawn_blocking(move || {
                    let page: Vec<_> = listing.by_ref().take(PAGE_SIZE).collect();
                    (page, listing)
                });
                match page.await {
                    Ok((page, _)) if page.is_empty() => None,
                    Ok((page, listing)) => Some((page, Some(listing))),
                    Err(failure) => Some((vec![Err(aborted("list", &uri, failure))], None)),
                }
            }
        })
        .flat_map(stream::iter)
        .boxed()
    }
}

/// Returns the error of a task that did not end: the runtime shut down, or the task panicked.
fn aborted(operation: &'static str, uri: &str, failure: tokio::task::JoinError) -> Error {
    let kind = if failure.is_cancelled() { ErrorKind::Unavailable } else { ErrorKind::Other };
    Error::new(kind, operation, uri, "the operation was aborted").with_source(failure)
}

/// Returns the URI of a key.
fn uri(root: &Path, key: &str) -> String {
    Location::File(root.join(key.trim_start_matches('/'))).to_string()
}
