use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use location::Location;

use crate::{Config, Error, LocalStore, S3Store, Store, s3::Service};

/// The way from a [`Location`] to its [`Store`]: one connection pool for S3, one store per bucket,
/// and one over the local file system.
#[derive(Debug)]
pub struct Stores {
    service: Arc<Service>,
    buckets: Mutex<HashMap<String, Arc<dyn Store>>>,
    local: Arc<dyn Store>,
}

impl Stores {
    /// Checks the configuration; connects to nothing.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.s3.check()?;
        Ok(Self {
            service: Arc::new(Service::new(config.s3)),
            buckets: Mutex::default(),
            local: Arc::new(LocalStore::new("/")),
        })
    }

    /// The store that holds a location, and the key it has there. Nothing is looked up.
    pub fn open(&self, location: &Location) -> Result<(Arc<dyn Store>, String), Error> {
        let key = location.key()?.to_owned();
        let Location::S3 { bucket, .. } = location else {
            return Ok((self.local.clone(), key));
        };
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
        let stores = Stores::new(Config::default()).unwrap();
        let open = |text: &str| stores.open(&Location::from_argument(text).unwrap()).unwrap();
        let (a, key) = open("s3://bucket/a b");
        assert_eq!(key, "a b");
        assert!(Arc::ptr_eq(&a, &open("s3://bucket/c").0));
        assert!(!Arc::ptr_eq(&a, &open("s3://other/c").0));
        let (files, key) = open("/r/a.wav");
        assert_eq!(key, "r/a.wav");
        assert!(Arc::ptr_eq(&files, &open("file:///").0));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        let mut config = Config::default();
        config.s3.endpoint = Some("host:9000".into());
        assert!(Stores::new(config).is_err());
    }
}
