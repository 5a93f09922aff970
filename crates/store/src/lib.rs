//! Object stores: S3, local files and, to be read, recordings on web servers behind one trait, [`Store`].
//!
//! [`Stores`] finds the store of a location. A read names the ETag of the version that it wants, so
//! all bytes of a recording come from one version; a write may be conditional.
//!
//! ```
//! use location::Location;
//! use store::{Condition, ErrorKind, PutOptions, StoreConfig, Stores};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), store::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! let stores = Stores::new(StoreConfig::default())?;
//! let prefix = Location::from_path(&directory)?; // or "s3://bucket/prefix".parse()?
//! let (store, key) = stores.open(&prefix.join("a/b.txt")?)?;
//!
//! let once = PutOptions { condition: Condition::IfAbsent, ..PutOptions::default() };
//! let etag = store.put(&key, "words".into(), once.clone()).await?;
//! assert_eq!(store.read(&key, 1..3, &etag).await?, "or");
//!
//! let error = store.put(&key, "other words".into(), once).await.unwrap_err();
//! assert_eq!(error.kind, ErrorKind::Precondition);
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod http;
mod local;
mod probe;
mod reader;
mod s3;
mod stores;

pub use config::{Checksums, Encryption, HttpConfig, S3Config, StoreConfig};
pub use error::{Error, ErrorKind, NotListed};
pub use http::{HttpAccess, HttpOptions};
pub use local::LocalStore;
pub use reader::{ReadAhead, Reader};
pub use s3::MAX_PUT_BYTES;
pub use secret::Secret;
pub use stores::Stores;

use std::{collections::BTreeMap, fmt::Debug, ops::Range, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

/// One bucket, or one file system. Keys are relative to it and literal: they are neither escaped
/// nor normalized.
///
/// All implementations that can be written to pass the same conformance suite (`tests/store/conformance.rs`).
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Describes an object without reading it.
    async fn head(&self, key: &str) -> Result<ObjectMeta, Error>;

    /// Reads `range` of an object, or the part of it that lies within the object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the object no longer has the ETag `etag`.
    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error>;

    /// Describes an object and reads its first `bytes`, in one request where the store can do so. The
    /// bytes may be fewer: what is missing, [`Store::read`] reads.
    async fn begin(&self, key: &str, bytes: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let _ = bytes;
        Ok((self.head(key).await?, Bytes::new()))
    }

    /// Reads a small object completely.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if it has more than `limit` bytes.
    async fn get(&self, key: &str, limit: u64) -> Result<(ObjectMeta, Bytes), Error>;

    /// Writes an object, completely or not at all, and returns its ETag.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Precondition`] if the condition does not hold. If a response was lost and the
    /// request was sent again, the object that violates the condition may be the one that our own
    /// first attempt wrote: read it to find out.
    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<String, Error>;

    /// Deletes an object. Succeeds if there is none.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// Finds out whether an object could be written, before the work that makes it. Leaves nothing
    /// behind. Where only a write shows that ([`Store::probe`]), it succeeds.
    async fn check_writable(&self, _key: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Returns whether an object with the ETag `current` has the content of the one whose ETag was
    /// `recorded`. Unlike [`Store::read`], which sees changes within minutes, this also holds for
    /// copies and for ETags of earlier versions of this program.
    fn same_content(&self, recorded: &str, current: &str) -> bool {
        recorded == current
    }

    /// Lists all objects whose key starts with `prefix`, in the byte order of the keys, page by
    /// page. An error that is not the last item concerns only one object or folder, and the listing
    /// continues; [`ErrorKind::NotListed`] stands for an entry that is left out on purpose.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta, Error>>;

    /// Lists, as [`Store::list`] does, the objects whose key follows `after` in byte order, so that a
    /// listing that was interrupted goes on where it was. No object needs to have the key `after`.
    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        let after = after.to_owned();
        let objects = self.list(prefix);
        let follows = move |object: &Result<ObjectMeta, Error>| {
            let follows = object.as_ref().map_or(true, |object| object.key > after);
            async move { follows }
        };
        objects.filter(follows).boxed()
    }

    /// Tests, with an object under `prefix`, which conditions the store honours. Some stores accept
    /// conditions and ignore them.
    async fn probe(&self, prefix: &str) -> Result<Capabilities, Error> {
        probe::probe(self, prefix).await
    }
}

/// Description of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Opaque value that changes whenever the content does. Without the quotes around it.
    pub etag: String,
    /// When it was written, by the clock of the store, to the second or finer; `None` if the store does
    /// not say.
    pub modified: Option<SystemTime>,
    /// User metadata. Empty in listings, and if the store keeps none.
    pub metadata: BTreeMap<String, String>,
}

/// Options of one write.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    pub condition: Condition,
    pub content_type: Option<&'static str>,
    /// User metadata. S3 keeps it, local files drop it. Keys consist of lower-case letters, digits
    /// and `-`; values are any text; all of it has at most 2 KB.
    pub metadata: BTreeMap<String, String>,
}

/// Condition of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Always,
    /// The object does not exist.
    IfAbsent,
    /// The object still has this ETag.
    IfMatch(String),
}

/// The conditions that a store was observed to honour: it refused the writes that it must refuse
/// and accepted those that it may accept. A probe cannot show whether it also does so in a race.
///
/// Amazon's S3 and local files honour both. In Ceph's gateway `IfMatch` never holds, and `IfAbsent`
/// is ignored in versioned buckets; Garage ignores `IfAbsent` everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub if_absent: bool,
    pub if_match: bool,
}
