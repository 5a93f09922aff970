//! Where webhooks may go.

use std::net::IpAddr;

use outbound::{HostPattern, is_public, literal_address};

use crate::WebhookUrl;

/// What the configuration allows.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) allow_private: bool,
    pub(crate) allow_http: bool,
}

/// Why a webhook is not sent. The message names the key that would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("webhooks are off: notify.hosts is empty")]
    NoHosts,
    #[error("{0} is not in notify.hosts")]
    Host(String),
    #[error("it is not https, which notify.allow_http would allow")]
    Http,
    #[error("{0} is not a public address, which notify.allow_private would allow")]
    Private(IpAddr),
    #[error("{0} has no public address, which notify.allow_private would allow")]
    NoPublicAddress(String),
}

impl Policy {
    /// Checks all that can be known before the name of the host is resolved.
    pub(crate) fn check(&self, url: &WebhookUrl) -> Result<(), Refusal> {
        if self.hosts.is_empty() {
            return Err(Refusal::NoHosts);
        }
        if !self.hosts.iter().any(|pattern| pattern.matches(url.url())) {
            let host = url.url().host_str().unwrap_or_default();
            let port = url.url().port().map_or_else(String::new, |port| format!(":{port}"));
            return Err(Refusal::Host(format!("{host}{port}")));
        }
        self.check_without_hosts(url)
    }

    /// Checks all but the host.
    pub(crate) fn check_without_hosts(&self, url: &WebhookUrl) -> Result<(), Refusal> {
        if !url.is_https() && !self.allow_http {
            return Err(Refusal::Http);
        }
        match literal_address(url.url()) {
            Some(address) if !self.allows(address) => Err(Refusal::Private(address)),
            _ => Ok(()),
        }
    }

    /// Returns whether a connection to the address may be made.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allow_private || is_public(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str]) -> Policy {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Policy { hosts, allow_private: false, allow_http: false }
    }

    fn check(policy: &Policy, url: &str) -> Result<(), Refusal> {
        policy.check(&url.parse().unwrap())
    }

    #[test]
    fn hosts_and_ports_must_match() {
        let some = policy(&["Hooks.Example.org", "*.example.net", "other.org:8443"]);
        for allowed in
            ["https://hooks.example.org/a", "https://a.example.net/", "https://other.org:8443/"]
        {
            assert_eq!(check(&some, allowed), Ok(()), "{allowed}");
        }
        for (refused, named) in [
            ("https://hooks.example.org:8443/", "hooks.example.org:8443"),
            ("https://example.net/", "example.net"),
            ("https://other.org/", "other.org"),
            ("https://8.8.8.8/", "8.8.8.8"),
            ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
        ] {
            assert_eq!(check(&some, refused), Err(Refusal::Host(named.to_owned())), "{refused}");
        }
        assert_eq!(check(&policy(&[]), "https://a.org/"), Err(Refusal::NoHosts));
    }

    #[test]
    fn schemes_and_addresses_must_be_allowed() {
        let mut some = policy(&["a.org", "127.0.0.1:8080", "[::1]:8080", "8.8.8.8"]);
        let private = Err(Refusal::Private(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(check(&some, "http://a.org/"), Err(Refusal::Http));
        assert_eq!(check(&some, "https://127.0.0.1:8080/"), private);
        assert_eq!(check(&some, "https://0x7f.1:8080/"), private);
        assert!(matches!(check(&some, "https://[::1]:8080/"), Err(Refusal::Private(_))));
        assert_eq!(check(&some, "https://8.8.8.8/"), Ok(()));
        some.allow_http = true;
        assert_eq!(check(&some, "http://a.org/"), Ok(()));
        assert_eq!(check(&some, "http://127.0.0.1:8080/"), private);
        some.allow_private = true;
        assert_eq!(check(&some, "http://127.0.0.1:8080/"), Ok(()));
        assert_eq!(check(&some, "http://[::1]:8080/"), Ok(()));
    }
}
