//! Where webhooks may go.

use std::{net::IpAddr, str::FromStr};

use url::Host;

use crate::{WebhookUrl, address::is_public};

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
        let (host, port) = url.host_and_port().ok_or_else(|| Refusal::Host(String::new()))?;
        let default_port = if url.is_https() { 443 } else { 80 };
        if !self.hosts.iter().any(|pattern| pattern.matches(&host, port, default_port)) {
            let port = if port == default_port { String::new() } else { format!(":{port}") };
            return Err(Refusal::Host(format!("{host}{port}")));
        }
        self.check_without_hosts(url)
    }

    /// Checks all but the host.
    pub(crate) fn check_without_hosts(&self, url: &WebhookUrl) -> Result<(), Refusal> {
        if !url.is_https() && !self.allow_http {
            return Err(Refusal::Http);
        }
        match url.literal_address() {
            Some(address) if !self.allows(address) => Err(Refusal::Private(address)),
            _ => Ok(()),
        }
    }

    /// Returns whether a connection to the address may be made.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allow_private || is_public(address)
    }
}

/// An entry of `notify.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern {
    host: Host,
    /// Whether it stands for all names below the host, and not for the host.
    is_wildcard: bool,
    /// `None`: that of the URL's scheme.
    port: Option<u16>,
}

impl HostPattern {
    fn matches(&self, host: &Host<&str>, port: u16, default_port: u16) -> bool {
        if self.port.unwrap_or(default_port) != port {
            return false;
        }
        match (&self.host, host) {
            (Host::Domain(domain), Host::Domain(host)) if self.is_wildcard => host
                .strip_suffix(domain.as_str())
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|below| !below.is_empty()),
            (Host::Domain(domain), Host::Domain(host)) => domain == host,
            (Host::Ipv4(address), Host::Ipv4(host)) => address == host,
            (Host::Ipv6(address), Host::Ipv6(host)) => address == host,
            _ => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (is_wildcard, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an address in brackets.
            Some(_) if rest.ends_with(']') => (rest, None),
            Some((host, port)) => (host, Some(port.parse().map_err(drop)?)),
            None => (rest, None),
        };
        // As in URLs: lower case, punycode.
        let host = Host::parse(host).map_err(drop)?;
        let is_name =
            matches!(&host, Host::Domain(name) if !name.is_empty() && !name.contains('*'));
        if is_name || (!is_wildcard && !matches!(host, Host::Domain(_))) {
            Ok(Self { host, is_wildcard, port })
        } else {
            Err(())
        }
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
        let some = policy(&["Hooks.Example.org", "*.example.net", "other.org:8443", "bücher.de"]);
        for allowed in [
            "https://hooks.example.org/a",
            "https://HOOKS.example.ORG:443/",
            "https://a.example.net/",
            "https://a.b.example.net/",
            "https://other.org:8443/",
            "https://xn--bcher-kva.de/",
        ] {
            assert_eq!(check(&some, allowed), Ok(()), "{allowed}");
        }
        for (refused, named) in [
            ("https://example.org/", "example.org"),
            ("https://x.hooks.example.org/", "x.hooks.example.org"),
            ("https://hooks.example.org.evil.com/", "hooks.example.org.evil.com"),
            ("https://hooks.example.org./", "hooks.example.org."),
            ("https://hooks.example.org:8443/", "hooks.example.org:8443"),
            ("https://example.net/", "example.net"),
            ("https://evilexample.net/", "evilexample.net"),
            ("https://other.org/", "other.org"),
            ("https://8.8.8.8/", "8.8.8.8"),
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

    #[test]
    fn other_patterns_are_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "https://a.org",
            "a.org/",
            "a.org:",
            "a.org:x",
            "*.*.org",
            "*.127.0.0.1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
