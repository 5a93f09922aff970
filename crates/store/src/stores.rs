//! From locations to stores.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use location::Location;

use crate::{
    Error, HttpConfig, HttpOptions, LocalStore, Store, StoreConfig,
    http::{HttpService, HttpStore},
    s3::{S3Store, Service},
};

/// The stores of all locations: one connection pool for S3, one [`Store`] per bucket, one for the local file
/// system, and one per URL.
#[derive(Debug)]
pub struct Stores {
    service: Arc<Service>,
    http_config: HttpConfig,
    http: Arc<HttpService>,
    buckets: Mutex<HashMap<String, Arc<dyn Store>>>,
    local: Arc<dyn Store>,
}

impl Stores {
    /// Checks the configuration. Does not connect. No URLs are opened: see [`Stores::with_http`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with the key whose value cannot work.
    pub fn new(config: StoreConfig) -> Result<Self, Error> {
        config.s3.check()?;
        let http = HttpService::new(config.http.clone(), HttpOptions::default());
        Ok(Self {
            http_config: config.http,
            http: Arc::new(http),
            service: Arc::new(Service::new(config.s3)),
            buckets: Mutex::default(),
            local: Arc::new(LocalStore::new("/")),
        })
    }

    /// Sets which URLs are opened.
    #[must_use]
    pub fn with_http(self, options: HttpOptions) -> Self {
        Self { http: Arc::new(HttpService::new(self.http_config.clone(), options)), ..self }
    }

    /// Returns the store of a location, and the key of the location in it. Does not check that the
    /// object or the bucket exists. Each call for a URL returns another store, which keeps what it has downloaded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the location is a path that is not
    /// UTF-8.
    pub fn open(&self, location: &Location) -> Result<(Arc<dyn Store>, String), Error> {
        let bucket = match location {
            Location::S3 { bucket, .. } => bucket,
            Location::File(_) => return Ok((self.local.clone(), location.key()?.to_owned())),
            Location::Http(url) => {
                let store = HttpStore::new(self.http.clone(), url.clone());
                return Ok((Arc::new(store), url.to_string()));
            }
        };
        let key = location.key()?.to_owned();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let store = buckets
            .entry(bucket.clone())
            .or_insert_with(|| Arc::new(S3Store::new(self.service.clone(), bucket)));
        Ok((store.clone(), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_store_per_bucket_and_one_for_files() {
        let stores = Stores::new(StoreConfig::default()).unwrap();
        let open = |uri: &str| stores.open(&uri.parse().unwrap()).unwrap();
        let (a, key) = open("s3://bucket/a b");
        assert_eq!(key, "a b");
        assert!(Arc::ptr_eq(&a, &open("s3://bucket/c").0));
        assert!(!Arc::ptr_eq(&a, &open("s3://other/c").0));
        let (files, key) = open("file:///r/a.wav");
        assert_eq!(key, "r/a.wav");
        assert!(Arc::ptr_eq(&files, &open("file:///").0));
        assert_eq!(open("https://a.org/x?s3cret").1, "https://a.org/x?…");
    }

    #[test]
    fn an_invalid_configuration_is_refused() {
        let mut config = StoreConfig::default();
        config.s3.endpoint = Some("host:9000".into());
        assert!(Stores::new(config).is_err());
    }

    #[test]
    fn a_path_that_is_not_utf8_is_refused() {
        let stores = Stores::new(StoreConfig::default()).unwrap();
        let error = stores.open(&"file:///r/%FF.wav".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Invalid);
    }
}
