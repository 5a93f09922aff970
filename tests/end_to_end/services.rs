//! Access to the services that `make test` starts. Each test has its own queues and its own prefix.

use std::path::Path;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use location::Location;
use queue::{AmqpConfig, AmqpQueue};
use store::{S3Config, Secret, Store, StoreConfig, Stores};

use crate::support::Scriptorium;

pub(crate) const BUCKET: &str = "scriptorium-tests";

/// Returns the value of an environment variable. Without it, tests are skipped; where `make test`
/// has started the services, they fail.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        assert!(std::env::var_os("SCRIPTORIUM_TEST_SERVICES").is_none(), "{name} is not set");
        eprintln!("skipped: {name} is not set; run `make test`");
    }
    value
}

pub(crate) struct Services {
    pub(crate) amqp_url: String,
    /// Host and port where the broker shows Prometheus its metrics.
    pub(crate) amqp_metrics: String,
    pub(crate) endpoint: String,
    access_key: String,
    /// Key, with the same secret, of an account without rights to the bucket.
    pub(crate) other_access_key: String,
    secret_key: String,
    /// Name of the queues and the prefix, unique to the test.
    pub(crate) name: String,
}

impl Services {
    pub(crate) fn of_test(name: &str) -> Option<Self> {
        Some(Self {
            amqp_url: variable("SCRIPTORIUM_TEST_AMQP_URL")?,
            amqp_metrics: variable("SCRIPTORIUM_TEST_AMQP_METRICS")?,
            endpoint: variable("SCRIPTORIUM_TEST_S3_ENDPOINT")?,
            access_key: variable("SCRIPTORIUM_TEST_S3_ACCESS_KEY")?,
            other_access_key: variable("SCRIPTORIUM_TEST_S3_OTHER_ACCESS_KEY")?,
            secret_key: variable("SCRIPTORIUM_TEST_S3_SECRET_KEY")?,
            name: format!("{name}-{}", uuid::Uuid::now_v7()),
        })
    }

    /// Returns the binary, configured for these services.
    pub(crate) fn scriptorium(&self, models: &Path) -> Scriptorium {
        Scriptorium::new(models)
            .with("SCRIPTORIUM__QUEUE__URL", &self.amqp_url)
            .with("SCRIPTORIUM__QUEUE__PREFIX", &self.name)
            .with("SCRIPTORIUM__QUEUE__RETRY_DELAYS_SECONDS", "1,2")
            .with("SCRIPTORIUM__WORKER__RETRY_DELAYS", "1,1")
            .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &self.endpoint)
            .with("SCRIPTORIUM__STORE__S3__FORCE_PATH_STYLE", "true")
            .with("SCRIPTORIUM__STORE__S3__ACCESS_KEY", &self.access_key)
            .with("SCRIPTORIUM__STORE__S3__SECRET_KEY", &self.secret_key)
    }

    /// Returns host and port of the S3 server.
    pub(crate) fn s3_address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// Returns the URI of `key` in this test's part of the bucket.
    pub(crate) fn uri(&self, key: &str) -> String {
        format!("s3://{BUCKET}/{}/{key}", self.name)
    }

    pub(crate) async fn queue(&self) -> AmqpQueue {
        self.queue_with_lease(AmqpConfig::default().lease_seconds).await
    }

    pub(crate) async fn queue_with_lease(&self, lease_seconds: u32) -> AmqpQueue {
        let config = AmqpConfig {
            lease_seconds,
            url: self.amqp_url.parse().unwrap(),
            prefix: self.name.clone(),
            retry_delays_seconds: vec![1, 2],
            ..AmqpConfig::default()
        };
        AmqpQueue::connect(config).await.unwrap()
    }

    /// Returns this test's part of the bucket, which is created if needed.
    pub(crate) async fn bucket(&self) -> Bucket {
        self.create_bucket().await;
        let s3 = S3Config {
            endpoint: Some(self.endpoint.clone()),
            force_path_style: true,
            access_key: Some(self.access_key.clone()),
            secret_key: Some(Secret::new(self.secret_key.clone())),
            ..S3Config::default()
        };
        let stores = Stores::new(StoreConfig { s3, ..StoreConfig::default() }).unwrap();
        let location = Location::s3(BUCKET, "").unwrap();
        let (store, _) = stores.open(&location).unwrap();
        Bucket { store, prefix: format!("{}/", self.name) }
    }

    /// Returns key and secret as `curl --user` takes them.
    pub(crate) fn credentials(&self) -> String {
        format!("{}:{}", self.access_key, self.secret_key)
    }

    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        self.client_with(&self.access_key)
    }

    /// Returns a client of the account without rights to the bucket.
    pub(crate) fn other_client(&self) -> aws_sdk_s3::Client {
        self.client_with(&self.other_access_key)
    }

    fn client_with(&self, access_key: &str) -> aws_sdk_s3::Client {
        let key = Credentials::new(access_key, &self.secret_key, None, None, "tests");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .credentials_provider(key)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Creates the bucket that all tests share, unless it exists.
    async fn create_bucket(&self) {
        let _ = self.client().create_bucket().bucket(BUCKET).send().await;
    }

    /// Lets the gateway send notifications of objects that are created below `prefix` to a topic.
    pub(crate) async fn notify(&self, topic: &str, prefix: &str) {
        use aws_sdk_s3::types::{
            Event, FilterRule, FilterRuleName, NotificationConfiguration,
            NotificationConfigurationFilter, S3KeyFilter, TopicConfiguration,
        };
        let prefix = format!("{}/{prefix}", self.name);
        let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
        let filter = S3KeyFilter::builder().filter_rules(rule).build();
        let topic = TopicConfiguration::builder()
            .id(self.name.replace('-', ""))
            .topic_arn(topic)
            .events(Event::S3ObjectCreated)
            .filter(NotificationConfigurationFilter::builder().key(filter).build())
            .build()
            .unwrap();
        let configuration =
            NotificationConfiguration::builder().topic_configurations(topic).build();
        self.client()
            .put_bucket_notification_configuration()
            .bucket(BUCKET)
            .notification_configuration(configuration)
            .send()
            .await
            .unwrap();
    }
}

/// One test's part of the bucket.
pub(crate) struct Bucket {
    pub(crate) store: std::sync::Arc<dyn Store>,
    prefix: String,
}

impl Bucket {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) async fn put(&self, name: &str, body: Vec<u8>) {
        let options = store::PutOptions::default();
        self.store.put(&self.key(name), body.into(), options).await.unwrap();
    }

    pub(crate) async fn get(&self, name: &str) -> Vec<u8> {
        self.store.get(&self.key(name), 1 << 30).await.unwrap().1.to_vec()
    }

    /// Returns the names below `prefix`, without the prefix.
    pub(crate) async fn names(&self, prefix: &str) -> Vec<String> {
        use futures::TryStreamExt;
        let prefix = self.key(prefix);
        let objects: Vec<_> = self.store.list(&prefix).try_collect().await.unwrap();
        let mut names: Vec<_> =
            objects.into_iter().map(|object| object.key[prefix.len()..].to_owned()).collect();
        names.sort_unstable();
        names
    }
}
