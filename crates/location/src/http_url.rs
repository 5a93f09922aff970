//! `http` and `https` URLs of recordings, which may contain secrets.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::ErrorKind;

/// Limit for a URL, in bytes. A presigned one with a session token has 2 KiB.
pub const MAX_URL_BYTES: usize = 8192;
/// Stands for a query that is not shown.
const HIDDEN_QUERY: &str = "?…";

/// An `http` or `https` URL. It prints without its user, password and query, which may be secrets: the query
/// of a presigned URL is the permission to read the object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpUrl {
    url: Url,
    /// See [`HttpUrl::name`].
    name: String,
}

impl HttpUrl {
    /// Parses a URL. Its fragment, which is never sent, is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorKind> {
        if text.len() > MAX_URL_BYTES {
            return Err(ErrorKind::UrlTooLong { max: MAX_URL_BYTES });
        }
        // The parser would drop or replace them, so that one URL had several spellings.
        let is_odd = |c: char| c.is_control() || matches!(c, ' ' | '\\');
        if text.contains(is_odd) || after_scheme(text).is_none_or(|rest| rest.starts_with('/')) {
            return Err(ErrorKind::NotAUrl);
        }
        let mut url = Url::parse(text).map_err(|_| ErrorKind::NotAUrl)?;
        url.set_fragment(None);
        Ok(Self::from_url(url))
    }

    /// Returns the URL to which a response with this `Location` redirects.
    ///
    /// User and password are those of this URL if both have the same origin, and none otherwise.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAUrl`], also for a scheme other than `http` and `https`, and
    /// [`ErrorKind::UrlTooLong`].
    pub fn redirect(&self, location: &str) -> Result<Self, ErrorKind> {
        if location.len() > MAX_URL_BYTES {
            return Err(ErrorKind::UrlTooLong { max: MAX_URL_BYTES });
        }
        let mut next = self.url.join(location).map_err(|_| ErrorKind::NotAUrl)?;
        if !matches!(next.scheme(), "http" | "https") || next.as_str().len() > MAX_URL_BYTES {
            return Err(ErrorKind::NotAUrl);
        }
        let (user, password) = match next.origin() == self.url.origin() {
            true => (self.url.username().to_owned(), self.url.password().map(str::to_owned)),
            false => (String::new(), None),
        };
        // Both succeed for URLs with a host, as these are.
        let _ = next.set_username(&user);
        let _ = next.set_password(password.as_deref());
        next.set_fragment(None);
        Ok(Self::from_url(next))
    }

    fn from_url(url: Url) -> Self {
        let name = safe_name(&url);
        Self { url, name }
    }

    /// Returns the complete URL, with its secrets.
    pub fn reveal(&self) -> &Url {
        &self.url
    }

    /// Returns the path of the URL as that of a file: decoded, without empty parts, and with `_` in place of
    /// control characters, slashes that were encoded, and dots at the beginning of a part. If the path is
    /// empty, the name of the host. Never empty.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Returns whether the text begins as a URL of `http` or `https`.
pub(crate) fn is_http(text: &str) -> bool {
    after_scheme(text).is_some()
}

/// Returns what follows `http://` or `https://`.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_http.then_some(rest)
}

/// Returns a URI as it may be shown, logged and recorded: that of `http` and `https` without user, password and
/// query, whether it is valid or not. `?…` stands for a query. Other text is returned as it is.
pub fn shown(uri: &str) -> Cow<'_, str> {
    let Some(rest) = after_scheme(uri.trim_start()) else { return uri.into() };
    let scheme = &uri[..uri.len() - rest.len()];
    // Parsers skip further slashes, and take `\` for one.
    let rest = rest.trim_start_matches(['/', '\\']);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let query = path.find(['?', '#']).unwrap_or(path.len());
    let (path, query) = path.split_at(query);
    let hidden = if query.starts_with('?') { HIDDEN_QUERY } else { "" };
    format!("{scheme}{host}{path}{hidden}").into()
}

fn safe_name(url: &Url) -> String {
    let mut name = String::new();
    for part in url.path().split('/').filter(|part| !part.is_empty()) {
        let decoded = percent_decode_str(part).decode_utf8_lossy();
        if !name.is_empty() {
            name.push('/');
        }
        for (index, c) in decoded.chars().enumerate() {
            let is_unsafe = c.is_control() || matches!(c, '/' | '\\') || (index == 0 && c == '.');
            name.push(if is_unsafe { '_' } else { c });
        }
    }
    if name.is_empty() {
        // Without the colons and brackets of an address.
        return url.host_str().unwrap_or("recording").replace([':', '[', ']'], "_");
    }
    name
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.url.as_str()))
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_may_be_secret_is_sent_and_never_shown() {
        let text =
            "https://ann:pw@Media.example.org:8443/a%20b/talk.mp3?X-Amz-Signature=s3cret&x=1#t=9";
        let url = parse(text);
        let whole =
            "https://ann:pw@media.example.org:8443/a%20b/talk.mp3?X-Amz-Signature=s3cret&x=1";
        assert_eq!(url.reveal().as_str(), whole);
        let expected = "https://media.example.org:8443/a%20b/talk.mp3?…";
        assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (expected, expected));
        assert_eq!(shown(text), "https://Media.example.org:8443/a%20b/talk.mp3?…");
        assert_eq!(parse("https://a.org/b").to_string(), "https://a.org/b");
        assert_eq!(parse("https://a.org/b?").to_string(), "https://a.org/b?…");
    }

    #[test]
    fn texts_that_are_no_urls_are_shown_without_secrets_too() {
        for (text, expected) in [
            ("https://u:s3cret@/x", "https:///x"),
            ("https:///u:s3cret@host/x?s3cret", "https://host/x?…"),
            ("HTTPS://u:s3cret@host?s3cret#s3cret", "HTTPS://host?…"),
            ("http://a@s3cret@host#s3cret", "http://host"),
            ("  https://u:s3cret@host/", "  https://host/"),
            ("https://u:s3cret@host\\x?s3cret", "https://host\\x?…"),
            ("s3://bucket/a?b@c#d", "s3://bucket/a?b@c#d"),
            ("/a?b", "/a?b"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_safe_paths() {
        for (text, name) in [
            ("https://a.org/2026/my%20talk.mp3?x=1", "2026/my talk.mp3"),
            ("https://a.org//a//b/", "a/b"),
            ("https://a.org", "a.org"),
            ("http://[::1]:8080/", "___1_"),
            ("https://a.org/%2e%2e/%2e%2e%2fetc", "_._etc"),
            ("https://a.org/.scriptorium/x", "_scriptorium/x"),
            ("https://a.org/a%00b%0ac%5cd%2fe", "a_b_c_d_e"),
            ("https://a.org/%FF.wav", "\u{fffd}.wav"),
            ("https://a.org/%E4%BC%9A.m4a", "会.m4a"),
        ] {
            assert_eq!(parse(text).name(), name, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "https://",
            "https:///a.org/x",
            "https://a b.org/",
            "https://a.org/a b",
            "https://a.org/a\nb",
            "https://a.org\\b",
            "https://a.org:99999/",
            "https://[::1/",
            "https:a.org/x",
            "ftp://a.org/x",
            "https://%00/",
        ] {
            assert!(matches!(HttpUrl::parse(text), Err(ErrorKind::NotAUrl)), "{text}");
        }
        let long = format!("https://a.org/{}", "x".repeat(MAX_URL_BYTES));
        assert!(matches!(HttpUrl::parse(&long), Err(ErrorKind::UrlTooLong { .. })));
    }

    #[test]
    fn a_redirect_takes_the_password_nowhere_else() {
        let url = parse("https://ann:pw@a.org/x/y?q");
        let next = |location: &str| url.redirect(location).map(|next| next.reveal().to_string());
        for (location, expected) in [
            ("z", "https://ann:pw@a.org/x/z"),
            ("/z?sig=1#f", "https://ann:pw@a.org/z?sig=1"),
            ("https://a.org/z", "https://ann:pw@a.org/z"),
            ("https://a.org:8443/z", "https://a.org:8443/z"),
            ("http://a.org/z", "http://a.org/z"),
            ("//b.org/z", "https://b.org/z"),
            ("https://eve:x@b.org/z", "https://b.org/z"),
        ] {
            assert_eq!(next(location).ok().as_deref(), Some(expected), "{location}");
        }
        for location in ["ftp://a.org/", "file:///etc/passwd", "https://", "data:,x"] {
            assert!(next(location).is_err(), "{location}");
        }
        assert!(next(&"x".repeat(MAX_URL_BYTES)).is_err());
    }
}
