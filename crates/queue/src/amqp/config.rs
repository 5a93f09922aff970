use std::{fmt, net::Ipv6Addr, str::FromStr, time::Duration};

use lapin::uri::AMQPUri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::{Error, Kind};

/// The longest name or id that AMQP carries, in bytes.
pub(super) const SHORT_STRING: usize = 255;
/// Leaves room for the suffixes of the queue names.
const LONGEST_PREFIX: usize = 200;

/// Where the broker is and what its queues are like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmqpConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. The virtual host is
    /// percent-encoded: `%2f` is the broker's default.
    pub url: AmqpUrl,
    /// The queues are `<prefix>.jobs`, `<prefix>.retry.<seconds>` and `<prefix>.dead`.
    pub prefix: String,
    /// A message that comes back unsettled more often becomes a dead letter: it may be what kills
    /// the workers. A property of the queue: it cannot be changed once the queue exists.
    pub delivery_limit: u32,
    /// The delays there are, in seconds; a retry takes the shortest one that is long enough.
    pub retry_delays_seconds: Vec<u32>,
    /// How long to wait at the start for a broker that is down; unset: for ever.
    pub connect_timeout_seconds: Option<u64>,
    /// How long one publish may take, reconnecting included.
    pub publish_timeout_seconds: u64,
    /// A connection silent for twice this long counts as lost; 0 leaves it to the broker.
    pub heartbeat_seconds: u16,
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            url: AmqpUrl("amqp://127.0.0.1:5672/%2f".to_owned()),
            prefix: "scriptorium".to_owned(),
            delivery_limit: 20,
            retry_delays_seconds: vec![10, 60, 600, 3600],
            connect_timeout_seconds: None,
            publish_timeout_seconds: 30,
            heartbeat_seconds: 20,
        }
    }
}

impl AmqpConfig {
    /// Says what is wrong with the values, which [`crate::AmqpQueue::connect`] would refuse.
    pub fn validate(&self) -> Result<(), Error> {
        let complaint = if self.prefix.is_empty() {
            "queue prefix must not be empty"
        } else if self.prefix.len() > LONGEST_PREFIX {
            "queue prefix must not be longer than 200 bytes"
        } else if self.prefix.starts_with("amq.") {
            "queue prefix must not start with 'amq.', which the broker keeps to itself"
        } else if self.retry_delays_seconds.is_empty() || self.retry_delays_seconds.contains(&0) {
            "retry_delays_seconds needs at least one delay, each of at least 1 second"
        } else if self.retry_delays_seconds.iter().any(|delay| *delay > u32::MAX / 1000) {
            "retry_delays_seconds must not exceed 49 days"
        } else if self.publish_timeout_seconds == 0 {
            "publish_timeout_seconds must be at least 1"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Other, complaint))
    }

    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout_seconds.map(Duration::from_secs)
    }

    pub(super) fn publish_timeout(&self) -> Duration {
        Duration::from_secs(self.publish_timeout_seconds)
    }
}

/// A broker's URL, valid. It shows itself without the password wherever it is printed, serialised
/// included.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(String);

impl AmqpUrl {
    pub(super) fn to_uri(&self) -> Result<AMQPUri, Error> {
        // The message must not quote the URL: there is a password in it.
        let invalid = |why: &str| Error::new(Kind::Other, format!("not an AMQP URL: {why}"));
        let url = Url::parse(&self.0).map_err(|error| invalid(&error.to_string()))?;
        let mut uri = AMQPUri::from_str(&self.0).map_err(|why| invalid(&why))?;
        if !url.has_host() {
            return Err(invalid("it names no host"));
        }
        // Else lapin, which takes names only, would go to localhost.
        if let Some(url::Host::Ipv6(address)) = url.host() {
            uri.authority.host = Ipv6Addr::to_string(&address);
        }
        if [&uri.vhost, &uri.authority.userinfo.username].iter().any(|s| s.len() > SHORT_STRING) {
            return Err(invalid("virtual host and user must not be longer than 255 bytes"));
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
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_never_shows() {
        let config: AmqpConfig =
            serde_json::from_str(r#"{"url":"amqps://ann:s3cr%2Fet@mq.example:5671/v"}"#).unwrap();
        let shown = [
            format!("{config:?}"),
            config.url.to_string(),
            serde_json::to_string(&config).unwrap(),
            "amqp://ann:s3cr%2Fet@host:notaport".parse::<AmqpUrl>().unwrap_err().to_string(),
            "http://ann:s3cr%2Fet@host".parse::<AmqpUrl>().unwrap_err().to_string(),
        ];
        for text in shown {
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
    fn hosts_by_address() {
        let host = |url: &str| url.parse::<AmqpUrl>().unwrap().to_uri().unwrap().authority.host;
        assert_eq!(host("amqp://127.0.0.1:5672/%2f"), "127.0.0.1");
        assert_eq!(host("amqp://[::1]:5672/%2f"), "::1");
        assert!("amqp:///vhost".parse::<AmqpUrl>().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
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
