//! Which conditional writes the stores honour.

use std::{collections::HashMap, sync::Mutex};

use location::Location;
use store::{Capabilities, Store};

use crate::lock;

/// Capabilities of the stores, probed once per bucket.
#[derive(Default)]
pub(crate) struct CapabilityCache {
    by_bucket: Mutex<HashMap<String, Capabilities>>,
}

impl CapabilityCache {
    /// Returns the capabilities of the store of `location`; probes it below `prefix` the first
    /// time.
    pub(crate) async fn get(
        &self,
        location: &Location,
        store: &dyn Store,
        prefix: &str,
    ) -> Result<Capabilities, store::Error> {
        let Location::S3 { bucket, .. } = location else {
            return Ok(Capabilities { if_absent: true, if_match: true });
        };
        match self.known(bucket) {
            Some(capabilities) => Ok(capabilities),
            None => self.probe(location, store, prefix).await,
        }
    }

    fn known(&self, bucket: &str) -> Option<Capabilities> {
        lock(&self.by_bucket).get(bucket).copied()
    }

    /// Probes the store of `location` below `prefix`, and keeps the result.
    pub(crate) async fn probe(
        &self,
        location: &Location,
        store: &dyn Store,
        prefix: &str,
    ) -> Result<Capabilities, store::Error> {
        let capabilities = store.probe(prefix).await?;
        let Location::S3 { bucket, .. } = location else { return Ok(capabilities) };
        if !capabilities.if_absent {
            tracing::warn!(
                bucket,
                "the store ignores If-None-Match: two workers that hold the same job may both \
                 write its transcript (the texts are equal; the last write wins)"
            );
        }
        let mut known = lock(&self.by_bucket);
        known.insert(bucket.clone(), capabilities);
        Ok(capabilities)
    }
}
