//! Patterns of URLs.

use std::{fmt, str::FromStr};

use url::Url;

use crate::HostPattern;

/// URLs that requests may go to: `https://media.example.org/`, `https://media.example.org/calls/`,
/// `https://*.s3.eu-central-1.amazonaws.com/`, or `https://*/` for all hosts.
///
/// Scheme and port must be the same. The path is a prefix that ends at a slash, compared as it is written in the URL,
/// percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    /// As it was given.
    text: String,
    scheme: &'static str,
    /// `None`: all hosts, at the port of the scheme.
    host: Option<HostPattern>,
    /// Begins and ends with a slash.
    path: String,
}

/// A text that is no [`UrlPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a prefix of URLs, such as https://media.example.org/, https://*.example.org/ or \
     https://media.example.org/calls/"
)]
pub struct InvalidPattern(String);

impl UrlPattern {
    /// Returns whether the text is meant as a pattern: it begins with `https://` or `http://`.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("https://") || text.starts_with("http://")
    }

    /// Returns whether a URL is one of those that the pattern stands for.
    pub fn matches(&self, url: &Url) -> bool {
        let is_host = || match &self.host {
            Some(host) => host.matches(url),
            None => url.port().is_none() && url.host().is_some(),
        };
        self.scheme == url.scheme() && is_host() && self.has_path(url.path())
    }

    fn has_path(&self, path: &str) -> bool {
        if self.path == "/" {
            return true;
        }
        // A server may decode a slash, and then `..%2F` leads out of the prefix.
        let lower = path.to_ascii_lowercase();
        path.starts_with(&self.path) && !lower.contains("%2f") && !lower.contains("%5c")
    }
}

impl FromStr for UrlPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let parsed = || {
            let (scheme, rest) = text.split_once("://")?;
            let scheme = match scheme {
                "https" => "https",
                "http" => "http",
                _ => return None,
            };
            let (host, path) = match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, "/"),
            };
            // As in URLs: percent-encoded, without `..`.
            let url = Url::parse(&format!("{scheme}://host{path}")).ok()?;
            if url.query().is_some() || url.fragment().is_some() {
                return None;
            }
            let slash = if url.path().ends_with('/') { "" } else { "/" };
            let path = format!("{}{slash}", url.path());
            let host = match host {
                "*" => None,
                host => Some(host.parse().ok()?),
            };
            Some(Self { text: text.to_owned(), scheme, host, path })
        };
        parsed().ok_or_else(|| InvalidPattern(text.to_owned()))
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        pattern.parse::<UrlPattern>().unwrap().matches(&url.parse().unwrap())
    }

    #[test]
    fn scheme_host_port_and_path_must_match() {
        for (pattern, url) in [
            ("https://media.example.org", "https://media.example.org/a?b"),
            ("https://media.example.org/", "https://ann:pw@Media.Example.org:443/a"),
            ("https://media.example.org:8443/", "https://media.example.org:8443/"),
            ("https://media.example.org/calls", "https://media.example.org/calls/a%20b.wav"),
            ("https://media.example.org/a b/", "https://media.example.org/a%20b/c"),
            ("https://media.example.org/x/../calls/", "https://media.example.org/calls/a"),
            (
                "https://*.s3.eu-central-1.amazonaws.com/",
                "https://b.s3.eu-central-1.amazonaws.com/k%2Fl",
            ),
            ("https://*/", "https://anywhere.example/a"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/b/k"),
            ("http://[::1]:9000/", "http://[::1]:9000/b/k"),
        ] {
            assert!(matches(pattern, url), "{pattern} {url}");
        }
        for (pattern, url) in [
            ("https://media.example.org/", "http://media.example.org/"),
            ("http://media.example.org/", "https://media.example.org/"),
            ("https://media.example.org/", "https://media.example.org:8443/"),
            ("https://media.example.org/", "https://media.example.org.evil.com/"),
            ("https://media.example.org/", "https://media.example.org@evil.com/"),
            ("https://media.example.org/calls", "https://media.example.org/calls-secret/a"),
            ("https://media.example.org/calls/", "https://media.example.org/calls/../secret"),
            ("https://media.example.org/calls/", "https://media.example.org/calls/%2e%2e/secret"),
            ("https://media.example.org/calls/", "https://media.example.org/calls/..%2Fsecret"),
            ("https://media.example.org/calls/", "https://media.example.org/calls/..%5csecret"),
            ("https://*.example.org/", "https://example.org/"),
            ("https://*/", "http://anywhere.example/a"),
            ("https://*/", "https://anywhere.example:8443/a"),
        ] {
            assert!(!matches(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "media.example.org",
            "https://",
            "https:///a",
            "ftp://a.org/",
            "HTTPS://a.org/",
            "https://a.org/?x",
            "https://a.org/#x",
            "https://ann@a.org/",
            "https://*.*.org/",
            "https://a*.org/",
            "https://a b/",
        ] {
            let error = text.parse::<UrlPattern>().unwrap_err();
            assert!(error.to_string().contains("such as https://"), "{text}");
        }
    }
}
