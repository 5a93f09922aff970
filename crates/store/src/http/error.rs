//! Errors of web servers as errors of the store.

use std::{error::Error as StdError, time::SystemTime};

use outbound::NoPublicAddress;
use reqwest::StatusCode;
use url::Url;

use super::expiry;
use crate::{Error, ErrorKind};

/// One operation on one URL.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// As it may be shown.
    pub(super) uri: String,
}

/// The status of a response.
#[derive(Debug, thiserror::Error)]
#[error("the server answered {0}")]
struct Status(StatusCode);

impl Operation {
    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, self.name, &self.uri, message)
    }

    pub(super) fn changed(&self) -> Error {
        self.error(ErrorKind::Changed, "the recording changed since it was opened")
    }

    pub(super) fn other_range(&self) -> Error {
        self.error(ErrorKind::Other, "the response does not start at the requested range")
    }

    /// Returns the error for a request that got no response. `advice`: what to do if the address is not public.
    pub(super) fn unanswered(&self, error: reqwest::Error, advice: &str) -> Error {
        // The URL has a query.
        let error = error.without_url();
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(found) = cause {
            if let Some(refused) = found.downcast_ref::<NoPublicAddress>() {
                return self.error(ErrorKind::NotAllowed, format!("{refused}{advice}"));
            }
            cause = found.source();
        }
        let message = match error.is_timeout() {
            true => "the server does not answer",
            false => "the server cannot be reached",
        };
        self.error(ErrorKind::Unavailable, message).with_source(error)
    }

    /// Returns the error for a response without a recording. `body`: its beginning.
    pub(super) fn refused(&self, status: StatusCode, url: &Url, body: &[u8]) -> Error {
        let (kind, message) = match status.as_u16() {
            400 | 401 | 403 if is_expired(url, body) => {
                (ErrorKind::Expired, "the presigned URL has expired")
            }
            401 | 403 | 407 | 451 => (ErrorKind::Denied, "the server denies access"),
            404 | 410 => (ErrorKind::NotFound, "there is nothing at this URL"),
            408 | 425 | 429 => (ErrorKind::Unavailable, "the server asks for a retry"),
            501 | 505 => (ErrorKind::Other, "the server cannot answer the request"),
            500..=599 => (ErrorKind::Unavailable, "the server is overloaded or failing"),
            300..=399 => (ErrorKind::Other, "the server redirects to nowhere"),
            _ => (ErrorKind::Other, "the server refused the request"),
        };
        self.error(kind, message).with_source(Status(status))
    }
}

/// Returns whether a presigned URL has expired, by its own account or by that of the server, whose clock counts.
fn is_expired(url: &Url, body: &[u8]) -> bool {
    let says_so = || String::from_utf8_lossy(body).to_ascii_lowercase().contains("expired");
    expiry::has_expired(url, SystemTime::now()) || (expiry::is_presigned(url) && says_so())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_by_what_the_caller_can_do() {
        let op = Operation { name: "read", uri: "https://a.org/x".to_owned() };
        let kind = |status: u16, url: &str, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            op.refused(status, &url.parse().unwrap(), body.as_bytes()).kind
        };
        let plain = "https://a.org/x";
        for (status, expected) in [
            (400, ErrorKind::Other),
            (401, ErrorKind::Denied),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NotFound),
            (410, ErrorKind::NotFound),
            (429, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (501, ErrorKind::Other),
            (503, ErrorKind::Unavailable),
            (304, ErrorKind::Other),
        ] {
            assert_eq!(kind(status, plain, "expired"), expected, "{status}");
        }
        let old = "https://a.org/x?Expires=1700000000&Signature=x";
        let new = "https://a.org/x?Expires=4000000000&Signature=x";
        assert_eq!(kind(403, old, ""), ErrorKind::Expired);
        assert_eq!(kind(403, new, ""), ErrorKind::Denied);
        assert_eq!(kind(403, new, "<Message>Request has expired</Message>"), ErrorKind::Expired);
        assert_eq!(kind(400, new, "<Code>ExpiredToken</Code>"), ErrorKind::Expired);
        assert_eq!(kind(404, old, ""), ErrorKind::NotFound);
    }
}
