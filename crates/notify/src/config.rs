//! Section `notify` of the configuration.

use outbound::HostPattern;
use secret::Secret;
use serde::{Deserialize, Serialize};

use crate::{
    Refusal, WebhookUrl,
    policy::Policy,
    signature::{InvalidSecret, Keys},
};

/// Where webhooks may go, and how they are signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Hosts to which webhooks may go: `hooks.example.org`, `*.example.org` (all names below it), either
    /// with a port if it is not that of the scheme. Empty: no webhooks.
    pub hosts: Vec<String>,
    /// Secret of the signatures: `whsec_` and 24 to 64 random bytes in base64. Two, separated by a space,
    /// while one replaces the other: webhooks then have a signature of each.
    pub secret: Option<Secret>,
    /// Allows private addresses: those of this machine and of private networks.
    pub allow_private: bool,
    /// Allows `http://`, where anybody on the way can read what is sent.
    pub allow_http: bool,
}

/// A value of the section that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error(
        "hosts: `{0}` is not a host, such as hooks.example.org, *.example.org or hooks.example.org:8443"
    )]
    Host(String),
    #[error("secret is missing, but hosts is set: webhooks are signed")]
    NoSecret,
    #[error("secret")]
    Secret(#[from] InvalidSecret),
}

impl NotifyConfig {
    /// Checks the section.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names the key in the section.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.read().map(drop)
    }

    /// Checks a URL as far as this process can: a submitter may not have the section that its workers have.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the key of the configuration.
    pub fn check(&self, url: &WebhookUrl) -> Result<(), Refusal> {
        // An invalid section is reported where webhooks are sent.
        match self.read() {
            Ok((policy, _)) if !self.hosts.is_empty() => policy.check(url),
            _ => self.policy(Vec::new()).check_without_hosts(url),
        }
    }

    /// Returns what may be sent where, and the keys of the signatures.
    pub(crate) fn read(&self) -> Result<(Policy, Keys), ConfigError> {
        let parse = |text: &String| {
            text.parse::<HostPattern>().map_err(|_| ConfigError::Host(text.clone()))
        };
        let hosts: Vec<_> = self.hosts.iter().map(parse).collect::<Result<_, _>>()?;
        let keys = match &self.secret {
            Some(secret) => Keys::parse(secret.reveal())?,
            None if hosts.is_empty() => Keys::default(),
            None => return Err(ConfigError::NoSecret),
        };
        Ok((self.policy(hosts), keys))
    }

    fn policy(&self, hosts: Vec<HostPattern>) -> Policy {
        let Self { allow_private, allow_http, .. } = *self;
        Policy { hosts, allow_private, allow_http }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn what_cannot_work_is_refused_by_key() {
        let config = |hosts: &[&str], secret: Option<&str>| NotifyConfig {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            secret: secret.map(Secret::new),
            ..NotifyConfig::default()
        };
        assert_eq!(NotifyConfig::default().validate(), Ok(()));
        assert_eq!(config(&["hooks.example.org"], Some(SECRET)).validate(), Ok(()));
        assert_eq!(config(&["hooks.example.org"], None).validate(), Err(ConfigError::NoSecret));
        assert!(matches!(
            config(&["a.org"], Some("whsec_short")).validate(),
            Err(ConfigError::Secret(_))
        ));
        let wrong = config(&["a.org", "https://b.org/"], Some(SECRET)).validate().unwrap_err();
        assert_eq!(wrong, ConfigError::Host("https://b.org/".to_owned()));
    }

    #[test]
    fn the_secret_is_never_shown() {
        let config = NotifyConfig { secret: Some(Secret::new(SECRET)), ..NotifyConfig::default() };
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("MfKQ"), "{shown}");
        let wrong = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!";
        let config = NotifyConfig { secret: Some(Secret::new(wrong)), ..config };
        let error = config.validate().unwrap_err();
        assert!(!errors::Chain(&error).to_string().contains("MfKQ"), "{error}");
    }

    #[test]
    fn a_submitter_without_the_section_checks_what_it_can() {
        let config = NotifyConfig::default();
        let check = |url: &str| config.check(&url.parse().unwrap());
        assert_eq!(check("https://anywhere.example/hook"), Ok(()));
        assert_eq!(check("http://anywhere.example/hook"), Err(Refusal::Http));
        assert!(matches!(check("https://127.0.0.1/hook"), Err(Refusal::Private(_))));
        let open = NotifyConfig { allow_private: true, allow_http: true, ..config };
        assert_eq!(open.check(&"http://127.0.0.1/hook".parse().unwrap()), Ok(()));
    }
}
