//! Patterns of hosts.

use std::str::FromStr;

use url::{Host, Url};

/// A host that requests may go to: `hooks.example.org`, or `*.example.org` for all names below it; either with a
/// port if it is not that of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Host,
    /// Whether it stands for all names below the host, and not for the host.
    is_wildcard: bool,
    /// `None`: that of the URL's scheme.
    port: Option<u16>,
}

/// A text that is no [`HostPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host, such as media.example.org, *.example.org or media.example.org:8443")]
pub struct InvalidHost;

impl HostPattern {
    /// Returns whether the host and the port of a URL match.
    pub fn matches(&self, url: &Url) -> bool {
        let default_port = match url.scheme() {
            "https" => 443,
            "http" => 80,
            _ => return false,
        };
        if self.port.unwrap_or(default_port) != url.port().unwrap_or(default_port) {
            return false;
        }
        match (&self.host, url.host()) {
            (Host::Domain(domain), Some(Host::Domain(host))) if self.is_wildcard => host
                .strip_suffix(domain.as_str())
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|below| !below.is_empty()),
            (Host::Domain(domain), Some(Host::Domain(host))) => domain == host,
            (Host::Ipv4(address), Some(Host::Ipv4(host))) => *address == host,
            (Host::Ipv6(address), Some(Host::Ipv6(host))) => *address == host,
            _ => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let (is_wildcard, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an address in brackets.
            Some(_) if rest.ends_with(']') => (rest, None),
            Some((host, port)) => (host, Some(port.parse().map_err(|_| InvalidHost)?)),
            None => (rest, None),
        };
        // As in URLs: lower case, punycode.
        let host = Host::parse(host).map_err(|_| InvalidHost)?;
        let is_name =
            matches!(&host, Host::Domain(name) if !name.is_empty() && !name.contains('*'));
        if is_name || (!is_wildcard && !matches!(host, Host::Domain(_))) {
            Ok(Self { host, is_wildcard, port })
        } else {
            Err(InvalidHost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_must_match() {
        let hosts =
            ["Hooks.Example.org", "*.example.net", "other.org:8443", "bücher.de", "8.8.8.8"];
        let hosts: Vec<HostPattern> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let matches = |url: &str| {
            let url = url.parse().unwrap();
            hosts.iter().any(|host| host.matches(&url))
        };
        for allowed in [
            "https://hooks.example.org/a",
            "https://HOOKS.example.ORG:443/",
            "http://hooks.example.org/a",
            "https://a.example.net/",
            "https://a.b.example.net/",
            "https://other.org:8443/",
            "https://xn--bcher-kva.de/",
            "https://8.8.8.8/",
        ] {
            assert!(matches(allowed), "{allowed}");
        }
        for refused in [
            "https://example.org/",
            "https://x.hooks.example.org/",
            "https://hooks.example.org.evil.com/",
            "https://hooks.example.org./",
            "https://hooks.example.org:8443/",
            "http://hooks.example.org:443/",
            "https://example.net/",
            "https://evilexample.net/",
            "https://other.org/",
            "https://8.8.4.4/",
            "ftp://hooks.example.org/",
        ] {
            assert!(!matches(refused), "{refused}");
        }
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
