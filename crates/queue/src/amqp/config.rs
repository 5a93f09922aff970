//! Configuration of the queue on RabbitMQ.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr, time::Duration};

use lapin::uri::AMQPUri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::{Error, ErrorKind};

/// Maximum length of an AMQP name or id, in bytes.
pub(super) const MAX_SHORT_STRING: usize = 255;
/// Leaves space in [`MAX_SHORT_STRING`] for the suffixes of the queue names.
const MAX_PREFIX: usize = 200;

/// Address of the broker and properties of its queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmqpConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. The virtual host is
    /// percent-encoded: `%2f` is the broker's default.
    pub url: AmqpUrl,
    /// Certificates (PEM) of the authorities that may have signed the broker's certificate, in addition
    /// to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Certificate (PEM) with which this process identifies itself to the broker; needs `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// Private key of the certificate (PEM, PKCS #8).
    pub key_file: Option<PathBuf>,
    /// Begins the names of all queues: `<prefix>.jobs`, `<prefix>.dead` and so on.
    pub prefix: String,
    /// A message that comes back unsettled more often than this becomes a dead letter: a last
    /// defence, because workers settle what comes back. A property of the queue that cannot be
    /// changed once the queue exists.
    pub delivery_limit: u32,
    /// Available retry delays in seconds. A retry takes the shortest one that is long enough.
    pub retry_delays_seconds: Vec<u32>,
    /// How long a worker holds a message before it parks it, so that the broker does not take it back.
    /// Must be shorter than the broker's `consumer_timeout`. A property of the queue, as above.
    pub lease_seconds: u32,
    /// How long to wait at the start for a broker that is down; waits without limit if unset.
    pub connect_timeout_seconds: Option<u64>,
    /// Timeout of one publish, including reconnecting.
    pub publish_timeout_seconds: u64,
    /// A connection silent for twice this long counts as lost; 0 takes the broker's value.
    pub heartbeat_seconds: u16,
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            url: AmqpUrl("amqp://127.0.0.1:5672/%2f".to_owned()),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            prefix: "scriptorium".to_owned(),
            delivery_limit: 20,
            retry_delays_seconds: vec![10, 60, 600, 3600],
            lease_seconds: 900,
            connect_timeout_seconds: None,
            publish_timeout_seconds: 30,
            heartbeat_seconds: 20,
        }
    }
}

impl AmqpConfig {
    /// Checks the values as [`crate::AmqpQueue::connect`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] with the first problem found.
    pub fn validate(&self) -> Result<(), Error> {
        let problem = if self.certificate_file.is_some() != self.key_file.is_some() {
            "certificate_file and key_file belong together"
        } else if self.prefix.is_empty() {
            "queue prefix must not be empty"
        } else if self.prefix.len() > MAX_PREFIX {
            "queue prefix must not be longer than 200 bytes"
        } else if self.prefix.starts_with("amq.") {
            "queue prefix must not start with 'amq.', which is reserved for the broker"
        } else if self.retry_delays_seconds.is_empty() || self.retry_delays_seconds.contains(&0) {
            "retry_delays_seconds needs at least one delay, each of at least 1 second"
        } else if self.retry_delays_seconds.iter().any(|delay| *delay > u32::MAX / 1000) {
            "retry_delays_seconds must not exceed 49 days"
        } else if self.lease_seconds == 0 || self.lease_seconds > u32::MAX / 1000 {
            "lease_seconds must be at least 1 and at most 49 days"
        } else if self.publish_timeout_seconds == 0 {
            "publish_timeout_seconds must be at least 1"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Other, problem))
    }

    /// Returns how long a worker holds a message before it parks it.
    pub(super) fn lease_time(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }

    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout_seconds.map(Duration::from_secs)
    }

    pub(super) fn publish_timeout(&self) -> Duration {
        Duration::from_secs(self.publish_timeout_seconds)
    }
}

/// A valid URL of a broker. Its printed and serialized forms hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(String);

impl AmqpUrl {
    pub(super) fn to_uri(&self) -> Result<AMQPUri, Error> {
        // The message must not quote the URL, which contains a password.
        let invalid = || Error::new(ErrorKind::Other, "not an AMQP URL");
        let url = Url::parse(&self.0).map_err(|error| invalid().with_source(error))?;
        let mut uri = AMQPUri::from_str(&self.0).map_err(|reason| invalid().with_source(reason))?;
        if !url.has_host() {
            return Err(invalid().with_source("it has no host"));
        }
        // lapin's parser takes only names and would fall back to localhost.
        if let Some(url::Host::Ipv6(address)) = url.host() {
            uri.authority.host = Ipv6Addr::to_string(&address);
        }
        if [&uri.vhost, &uri.authority.userinfo.username].iter().any(|s| s.len() > MAX_SHORT_STRING)
        {
            let problem = "virtual host and user must not be longer than 255 bytes";
            return Err(invalid().with_source(problem));
        }
        Ok(uri)
    }
}

impl FromStr for AmqpUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let url = Self(url.to_owned());
        url.to_uri()?;
        Ok(url)
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(mut url) = Url::parse(&self.0) else { return f.write_str("(invalid)") };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("(hidden)");
        }
        fmt::Display::fmt(&url, f)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AmqpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AmqpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(format_args!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_printed() {
        let config: AmqpConfig =
            serde_json::from_str(r#"{"url":"amqps://ann:s3cr%2Fet@mq.example:5671/v"}"#).unwrap();
        let printed = [
            format!("{config:?}"),
            config.url.to_string(),
            serde_json::to_string(&config).unwrap(),
            format!("{:#}", "amqp://ann:s3cr%2Fet@host:notaport".parse::<AmqpUrl>().unwrap_err()),
            format!("{:#}", "http://ann:s3cr%2Fet@host".parse::<AmqpUrl>().unwrap_err()),
        ];
        for text in printed {
            assert!(!text.contains("s3cr"), "{text}");
        }
        assert_eq!(config.url.to_string(), "amqps://ann:***@mq.example:5671/v");
        let uri = config.url.to_uri().unwrap();
        assert_eq!(uri.authority.userinfo.password, "s3cr/et");
    }

    #[test]
    fn defaults_survive_a_round_trip() {
        let json = serde_json::to_string(&AmqpConfig::default()).unwrap();
        assert_eq!(serde_json::from_str::<AmqpConfig>(&json).unwrap(), AmqpConfig::default());
        assert_eq!(serde_json::from_str::<AmqpConfig>("{}").unwrap(), AmqpConfig::default());
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<AmqpConfig>(r#"{"prefx":"x"}"#).is_err());
    }

    #[test]
    fn hosts_may_be_ip_addresses() {
        let host = |url: &str| url.parse::<AmqpUrl>().unwrap().to_uri().unwrap().authority.host;
        assert_eq!(host("amqp://127.0.0.1:5672/%2f"), "127.0.0.1");
        assert_eq!(host("amqp://[::1]:5672/%2f"), "::1");
        assert!("amqp:///vhost".parse::<AmqpUrl>().is_err());
    }

    #[test]
    fn invalid_values_are_refused() {
        let refused = |change: fn(&mut AmqpConfig)| {
            let mut config = AmqpConfig::default();
            change(&mut config);
            config.validate().is_err()
        };
        assert!(AmqpConfig::default().validate().is_ok());
        assert!(refused(|config| config.prefix.clear()));
        assert!(refused(|config| config.prefix = "x".repeat(201)));
        assert!(refused(|config| config.prefix = "amq.x".to_owned()));
        assert!(refused(|config| config.retry_delays_seconds.clear()));
        assert!(refused(|config| config.retry_delays_seconds = vec![10, 0]));
        assert!(refused(|config| config.retry_delays_seconds = vec![u32::MAX]));
        assert!(refused(|config| config.publish_timeout_seconds = 0));
    }
}
