//! Reads and writes single records.

use bytes::Bytes;
use futures::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use store::{Condition, ErrorKind, PutOptions, Stores};

use crate::{Error, names};

/// Largest record that is read. A larger one was not written by this program.
pub(crate) const MAX_RECORD_BYTES: u64 = 1 << 20;

/// Writes a record and returns its version (ETag); `None` if the condition does not hold.
pub(crate) async fn put<R: Serialize + Sync>(
    stores: &Stores,
    uri: &str,
    record: &R,
    condition: Condition,
) -> Result<Option<String>, Error> {
    let body = serde_json::to_vec(record)
        .map_err(|error| Error::Invalid { uri: uri.to_owned(), source: error.into() })?;
    put_bytes(stores, uri, body.into(), condition).await
}

/// Writes a record unless there is one. Returns whether the record that is there now is this one: a store
/// may have written it whose answer was lost, and then refuse the second attempt.
pub(crate) async fn create<R: Serialize + Sync>(
    stores: &Stores,
    uri: &str,
    record: &R,
) -> Result<bool, Error> {
    let body = serde_json::to_vec(record)
        .map_err(|error| Error::Invalid { uri: uri.to_owned(), source: error.into() })?;
    let body = Bytes::from(body);
    if put_bytes(stores, uri, body.clone(), Condition::IfAbsent).await?.is_some() {
        return Ok(true);
    }
    Ok(get(stores, uri).await?.is_some_and(|(found, _)| found == body))
}

pub(crate) async fn put_bytes(
    stores: &Stores,
    uri: &str,
    body: Bytes,
    condition: Condition,
) -> Result<Option<String>, Error> {
    let (store, key) = stores.open(&uri.parse()?)?;
    let content_type = Some("application/json");
    let options = PutOptions { condition, content_type, ..PutOptions::default() };
    match store.put(&key, body, options).await {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.kind == ErrorKind::Precondition => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a record with its version (ETag); `None` if there is none.
pub(crate) async fn get(stores: &Stores, uri: &str) -> Result<Option<(Bytes, String)>, Error> {
    let (store, key) = stores.open(&uri.parse()?)?;
    match store.get(&key, MAX_RECORD_BYTES).await {
        Ok((meta, body)) => Ok(Some((body, meta.etag))),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn parse<R: DeserializeOwned>(uri: &str, body: &[u8]) -> Result<R, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Invalid { uri: uri.to_owned(), source: error.into() })
}

pub(crate) async fn exists(stores: &Stores, uri: &str) -> Result<bool, Error> {
    let (store, key) = stores.open(&uri.parse()?)?;
    match store.head(&key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn delete(stores: &Stores, uri: &str) -> Result<(), Error> {
    let (store, key) = stores.open(&uri.parse()?)?;
    Ok(store.delete(&key).await?)
}

/// Calls `found` with the job and the generation of each record under the prefix `uri`.
pub(crate) async fn list(
    stores: &Stores,
    uri: &str,
    mut found: impl FnMut(&str, u32),
) -> Result<(), Error> {
    let (store, prefix) = stores.open(&uri.parse()?)?;
    let mut objects = store.list(&prefix);
    while let Some(object) = objects.next().await {
        match object {
            Ok(object) => {
                let (job, generation) = names::parse(&object.key);
                found(job, generation);
            }
            // Not a record.
            Err(store::Error { kind: ErrorKind::NotListed(_), .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
