use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;

use crate::{Capabilities, Condition, Error, Kind, PutOptions, Store};

/// An ETag that no object has.
const FOREIGN: &str = "00000000000000000000000000000000";

pub(crate) async fn probe<S: Store + ?Sized>(
    store: &S,
    prefix: &str,
) -> Result<Capabilities, Error> {
    let key = format!("{prefix}.scriptorium-probe-{}", unique());
    let outcome = conditions(store, &key).await;
    // The first failure is the one to tell; a probe left behind does no harm.
    let cleaned = store.delete(&key).await;
    let capabilities = outcome?;
    cleaned?;
    Ok(capabilities)
}

async fn conditions<S: Store + ?Sized>(store: &S, key: &str) -> Result<Capabilities, Error> {
    let etag = put(store, key, "1", Condition::Always).await?.unwrap_or_default();
    let overwritten = put(store, key, "2", Condition::IfAbsent).await?;
    // Only a store that lets the object be overwritten has another ETag by now.
    let etag = overwritten.clone().unwrap_or(etag);
    let foreign = put(store, key, "3", Condition::IfMatch(FOREIGN.into())).await?;
    let own = put(store, key, "4", Condition::IfMatch(etag)).await?;
    let absent = {
        store.delete(key).await?;
        put(store, key, "5", Condition::IfAbsent).await?
    };
    Ok(Capabilities {
        if_absent: overwritten.is_none() && absent.is_some(),
        if_match: foreign.is_none() && own.is_some(),
    })
}

/// The new ETag, or nothing if the condition was refused, or is not implemented.
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
        Err(error) if error.kind == Kind::Precondition => Ok(None),
        Err(error) if conditional && error.kind == Kind::Other => Ok(None),
        Err(error) => Err(error),
    }
}

/// Not the same in two processes, nor twice in one: workers probe at the same time.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{count:x}", now.as_nanos(), std::process::id())
}
