//! Where recordings lie and transcripts go: S3 and local files behind one trait.

mod config;
mod error;
mod local;
mod probe;
mod reader;
mod s3;
mod stores;
mod text;

pub use config::{Checksums, Config, S3Config, Secret};
pub use error::{Error, Kind};
pub use local::LocalStore;
pub use reader::{ReadAhead, Reader};
pub use s3::{MAX_PUT_BYTES, S3Store};
pub use stores::Stores;

use std::{collections::BTreeMap, fmt::Debug, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// One bucket, or one file system. Keys are relative to it and are taken literally: no escaping, no
/// normalisation.
///
/// All implementations pass the same conformance suite (`tests/store/conformance.rs`).
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Describes an object without reading it.
    async fn head(&self, key: &str) -> Result<ObjectMeta, Error>;

    /// Reads `range` of an object, less if the object ends before, nothing past its end. Fails with
    /// [`Kind::Changed`] if the object is no longer the one that has `etag`.
    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error>;

    /// Reads a small object whole; fails with [`Kind::TooLarge`] past `limit` bytes.
    async fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error>;

    /// Writes an object so that it appears whole or not at all, and returns its ETag. A condition
    /// that does not hold is [`Kind::Precondition`]. If an answer was lost and the request sent
    /// again, that may be our own first attempt: look at what stands there.
    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<String, Error>;

    /// Removing what is not there is a success.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// All objects whose key starts with `prefix`, in the byte order of the keys, a page at a time.
    /// An error that is not the last item concerns one object or folder only, and is no reason to
    /// stop.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>>;

    /// Tries out, with an object under `prefix`, which conditions the store honours: some accept
    /// and ignore them.
    async fn probe(&self, prefix: &str) -> Result<Capabilities, Error> {
        probe::probe(self, prefix).await
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    pub key: String,
    pub size: u64,
    /// Opaque; changes whenever the content does. Without surrounding quotes.
    pub etag: String,
    /// User metadata; empty in listings and where the store keeps none.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    pub condition: Condition,
    pub content_type: Option<&'static str>,
    /// Kept by S3, dropped by local files. Keys are lower-case letters, digits and `-`; values are
    /// any text; 2 KB in all.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Always,
    /// Only if there is no such object.
    IfAbsent,
    /// Only if the object is still the one with this ETag.
    IfMatch(String),
}

/// What a store was seen to honour: refused what it must and accepted what it may. That it does so
/// in a race too cannot be seen.
///
/// Amazon's S3 and local files honour both. In Ceph's gateway `IfMatch` never holds, and `IfAbsent` is
/// ignored in versioned buckets; Garage ignores `IfAbsent` everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub if_absent: bool,
    pub if_match: bool,
}
