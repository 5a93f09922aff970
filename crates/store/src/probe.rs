//! Tests which conditions of writes a store honours.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;

use crate::{Capabilities, Condition, Error, ErrorKind, PutOptions, Store};

/// An ETag that no object has.
const UNUSED_ETAG: &str = "00000000000000000000000000000000";

pub(crate) async fn probe<S: Store + ?Sized>(
    store: &S,
    prefix: &str,
) -> Result<Capabilities, Error> {
    let key = format!("{prefix}.scriptorium-probe-{}", unique());
    let outcome = test_conditions(store, &key).await;
    let deleted = store.delete(&key).await;
    // If both failed, the first failure is the one to report. A probe left behind does no harm.
    let capabilities = outcome?;
    deleted?;
    Ok(capabilities)
}

async fn test_conditions<S: Store + ?Sized>(store: &S, key: &str) -> Result<Capabilities, Error> {
    let etag = put(store, key, "1", Condition::Always).await?.unwrap_or_default();
    let overwritten = put(store, key, "2", Condition::IfAbsent).await?;
    // A store that ignores `IfAbsent` has overwritten the object, which has another ETag now.
    let etag = overwritten.clone().unwrap_or(etag);
    let unused = put(store, key, "3", Condition::IfMatch(UNUSED_ETAG.into())).await?;
    let own = put(store, key, "4", Condition::IfMatch(etag)).await?;
    let absent = {
        store.delete(key).await?;
        put(store, key, "5", Condition::IfAbsent).await?
    };
    Ok(Capabilities {
        if_absent: overwritten.is_none() && absent.is_some(),
        if_match: unused.is_none() && own.is_some(),
    })
}

/// Returns the new ETag, or `None` if the store refused the condition or does not implement it.
async fn put<S: Store + ?Sized>(
    store: &S,
    key: &str,
    body: &'static str,
    condition: Condition,
) -> Result<Option<String>, Error> {
    let conditional = condition != Condition::Always;
    let options = PutOptions { condition, ..PutOptions::default() };
    match store.put(key, Bytes::from_static(body.as_bytes()), options).await {
        Ok(etag) => Ok(Some(etag)),
        Err(error) if error.kind == ErrorKind::Precondition => Ok(None),
        Err(error) if conditional && error.kind == ErrorKind::Other => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns a name that no other probe has, in this process or another: workers probe at the same
/// time.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{count:x}", now.as_nanos(), std::process::id())
}
