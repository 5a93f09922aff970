//! Configuration of the stores: the section `store` of the configuration file.

use std::time::Duration;

use secret::Secret;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// How to reach the stores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    pub s3: S3Config,
    pub http: HttpConfig,
}

/// Recordings on web servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Allows jobs to name, and servers to redirect to, private addresses: those of this machine and of private
    /// networks. `worker.sources` must allow the URL as well.
    pub allow_private: bool,
}

/// One S3 service. Locations name its buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// `http://host:port` or `https://…`. Default: `AWS_ENDPOINT_URL`, or else Amazon's endpoint.
    pub endpoint: Option<String>,
    /// Default: the region of the environment or the AWS profile, or else `us-east-1` if there is
    /// an `endpoint`.
    pub region: Option<String>,
    /// Whether requests go to `endpoint/bucket/key` instead of `bucket.endpoint/key`. Most servers
    /// other than Amazon's need it.
    pub force_path_style: bool,
    /// Used with `secret_key` instead of the AWS SDK's default chain (environment, profile, web
    /// identity, container, instance).
    pub access_key: Option<String>,
    pub secret_key: Option<Secret>,
    pub session_token: Option<Secret>,
    pub checksums: Checksums,
    /// How the service encrypts what is written.
    pub encryption: Encryption,
    /// Key of the key management service, for `encryption = "kms"`; default: the bucket's.
    pub kms_key_id: Option<String>,
    /// Account that must own the buckets: a request to a bucket of another account is denied.
    pub expected_bucket_owner: Option<String>,
    /// Timeout of a connection attempt, in seconds.
    pub connect_timeout_seconds: u64,
    /// Timeout in seconds for the next byte of a response.
    pub read_timeout_seconds: u64,
    /// Timeout in seconds for one request with all its attempts, without the body of the response.
    pub operation_timeout_seconds: u64,
    /// Number of times that the SDK sends a request that fails for a transient reason, including
    /// the first.
    pub max_attempts: u32,
}

/// When requests and responses have checksums in addition to the signature. Many servers other than
/// Amazon's refuse the checksums that the SDK would send by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    #[default]
    WhenRequired,
    WhenSupported,
}

/// Encryption on the side of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// As the bucket is configured.
    #[default]
    Bucket,
    /// With keys of the service (SSE-S3).
    Aes256,
    /// With a key of the key management service (SSE-KMS).
    Kms,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            force_path_style: false,
            access_key: None,
            secret_key: None,
            session_token: None,
            checksums: Checksums::default(),
            encryption: Encryption::default(),
            kms_key_id: None,
            expected_bucket_owner: None,
            connect_timeout_seconds: 5,
            read_timeout_seconds: 30,
            operation_timeout_seconds: 120,
            max_attempts: 4,
        }
    }
}

impl S3Config {
    /// Refuses values that cannot work; the error names the key.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |field: &str, why: &str| {
            Err(Error::new(ErrorKind::Invalid, "configure", format!("s3.{field}"), why))
        };
        if let Some(endpoint) = &self.endpoint
            && !endpoint.strip_prefix("http://").or(endpoint.strip_prefix("https://")).is_some_and(
                |host| !host.is_empty() && !host.starts_with('/') && !host.contains([' ', '@']),
            )
        {
            return refuse("endpoint", "must be http://host:port or https://host, without a user");
        }
        match (&self.access_key, &self.secret_key) {
            (Some(_), None) => return refuse("secret_key", "is missing, but access_key is set"),
            (None, Some(_)) => return refuse("access_key", "is missing, but secret_key is set"),
            (None, None) if self.session_token.is_some() => {
                return refuse("session_token", "needs access_key and secret_key");
            }
            _ => {}
        }
        if self.kms_key_id.is_some() && self.encryption != Encryption::Kms {
            return refuse("kms_key_id", "needs encryption = \"kms\"");
        }
        for (field, seconds) in [
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            ("read_timeout_seconds", self.read_timeout_seconds),
            ("operation_timeout_seconds", self.operation_timeout_seconds),
            ("max_attempts", self.max_attempts.into()),
        ] {
            if seconds == 0 {
                return refuse(field, "must be at least 1");
            }
        }
        Ok(())
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.read_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: S3Config) -> String {
        let error = config.check().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn secrets_are_not_shown() {
        let config: StoreConfig = serde_json::from_str(
            r#"{"s3": {"access_key": "AK", "secret_key": "s3cr3t", "session_token": "t0ken"}}"#,
        )
        .unwrap();
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("s3cr3t") && !shown.contains("t0ken"), "{shown}");
        assert_eq!(config.s3.secret_key.as_ref().map(Secret::reveal), Some("s3cr3t"));
        config.s3.check().unwrap();
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = serde_json::from_str::<StoreConfig>(r#"{"s3": {"endpont": "x"}}"#).unwrap_err();
        assert!(error.to_string().contains("endpont"));
        assert!(serde_json::from_str::<StoreConfig>(r#"{"gcs": {}}"#).is_err());
        let checksums = r#"{"s3": {"checksums": "when_supported"}}"#;
        let config: StoreConfig = serde_json::from_str(checksums).unwrap();
        assert_eq!(config.s3.checksums, Checksums::WhenSupported);
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_key() {
        let default = S3Config::default;
        for endpoint in ["host:9000", "http://", "http:///x", "http://user:pw@host", "ftp://host"] {
            let config = S3Config { endpoint: Some(endpoint.into()), ..default() };
            let message = refused(config);
            assert!(message.contains("s3.endpoint") && !message.contains("pw"), "{message}");
        }
        let half = S3Config { access_key: Some("AK".into()), ..default() };
        assert!(refused(half).contains("s3.secret_key"));
        let half = S3Config { secret_key: Some(Secret::new("SK")), ..default() };
        assert!(refused(half).contains("s3.access_key"));
        let alone = S3Config { session_token: Some(Secret::new("T")), ..default() };
        assert!(refused(alone).contains("s3.session_token"));
        let key = S3Config { kms_key_id: Some("k".into()), ..default() };
        assert!(refused(key).contains("s3.kms_key_id"));
        assert!(refused(S3Config { max_attempts: 0, ..default() }).contains("s3.max_attempts"));
    }
}
