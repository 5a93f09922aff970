//! URLs of webhooks.

use std::{fmt, str::FromStr};

use url::Url;

/// Limit in bytes for the URL of a webhook.
pub const MAX_URL_BYTES: usize = 2048;

/// An `http` or `https` URL without a user. It prints without its query, which may have a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// Why a text is not the URL of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    #[error("it has more than {MAX_URL_BYTES} bytes")]
    TooLong,
    #[error("it is not a URL")]
    Malformed(#[from] url::ParseError),
    #[error("it does not begin with https://")]
    Scheme,
    #[error("it has a user or a password: webhooks are signed instead")]
    User,
}

impl FromStr for WebhookUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > MAX_URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        let mut url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::User);
        }
        // It is never sent.
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl WebhookUrl {
    /// Returns the complete URL, with its query.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        url.set_query(None);
        fmt::Display::fmt(&url, f)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sent_and_never_shown() {
        let url: WebhookUrl = "https://hooks.example.org:8443/a?token=s3cret#x".parse().unwrap();
        assert_eq!(url.reveal(), "https://hooks.example.org:8443/a?token=s3cret");
        assert_eq!(format!("{url} {url:?}").matches("s3cret").count(), 0);
        assert_eq!(url.to_string(), "https://hooks.example.org:8443/a");
    }

    #[test]
    fn other_texts_are_refused() {
        let error = |text: &str| text.parse::<WebhookUrl>().unwrap_err();
        assert_eq!(error("ftp://a.org/"), InvalidUrl::Scheme);
        assert_eq!(error("file:///etc/passwd"), InvalidUrl::Scheme);
        assert_eq!(error("https://ann@a.org/"), InvalidUrl::User);
        assert_eq!(error("https://:p@a.org/"), InvalidUrl::User);
        assert!(matches!(error("a.org/hook"), InvalidUrl::Malformed(_)));
        assert!(matches!(error("https:///"), InvalidUrl::Malformed(_)));
        assert_eq!(error(&format!("https://a.org/{}", "x".repeat(2048))), InvalidUrl::TooLong);
    }
}
