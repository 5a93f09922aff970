//! Sends webhooks, and says what the answer means.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use errors::Chain;
use outbound::{NoPublicAddress, PublicResolver};
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect::Policy as Redirects,
};

use crate::{ConfigError, NotifyConfig, Refusal, WebhookUrl, policy::Policy, signature::Keys};

/// Limit of a delivery, from the lookup of the host to the header of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time that a server may ask to wait for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Sends webhooks where the configuration allows it.
pub struct Webhooks {
    policy: Policy,
    keys: Keys,
    /// `None`: webhooks are off.
    client: Option<Client>,
}

/// One delivery of a webhook.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The same for all deliveries of the same webhook, by which the receiver recognizes them. Without
    /// full stops.
    pub id: &'a str,
    pub content_type: &'a str,
    pub body: Bytes,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver has it.
    Delivered { status: u16 },
    /// It may succeed later, not before the given time if the server names one.
    Failed { reason: String, retry_after: Option<Duration> },
    /// It is not to be sent again: the server does not want it, or the configuration does not allow it.
    Refused { reason: String },
}

/// Why webhooks cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// For example, the machine has no certificates.
    #[error("webhooks need TLS")]
    Client(#[source] reqwest::Error),
}

impl Webhooks {
    /// # Errors
    ///
    /// If the section is invalid, or there can be no TLS.
    pub fn new(config: &NotifyConfig) -> Result<Self, Error> {
        let (policy, keys) = config.read()?;
        let client = match policy.hosts.is_empty() {
            true => None,
            false => Some(client(policy.allow_private).map_err(Error::Client)?),
        };
        Ok(Self { policy, keys, client })
    }

    /// Returns webhooks that are off: each is refused.
    pub fn off() -> Self {
        let policy = Policy { hosts: Vec::new(), allow_private: false, allow_http: false };
        Self { policy, keys: Keys::default(), client: None }
    }

    /// Sends a webhook once.
    pub async fn send(&self, url: &WebhookUrl, request: Request<'_>) -> Answer {
        let allowed = self.policy.check(url);
        let client = match (allowed, &self.client) {
            (Ok(()), Some(client)) => client,
            (Err(refusal), _) => return Answer::Refused { reason: refusal.to_string() },
            (Ok(()), None) => return Answer::Refused { reason: Refusal::NoHosts.to_string() },
        };
        let Request { id, content_type, body } = request;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let timestamp = now.as_secs();
        let sent = client
            .post(url.url().clone())
            .header(CONTENT_TYPE, content_type)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", self.keys.sign(id, timestamp, &body))
            .body(body)
            .send();
        match sent.await {
            // The body is dropped unread.
            Ok(response) => read(response.status(), response.headers()),
            Err(error) => failed(error),
        }
    }
}

fn client(allow_private: bool) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        // A proxy would resolve names itself, and a redirect would lead past the check.
        .no_proxy()
        .redirect(Redirects::none())
        .referer(false)
        .dns_resolver(PublicResolver { allow_private })
        // Webhooks are rare.
        .pool_max_idle_per_host(0)
        .build()
}

/// Reads the header of an answer.
fn read(status: StatusCode, headers: &HeaderMap) -> Answer {
    let reason = || format!("the server answered {status}");
    match status {
        status if status.is_success() => Answer::Delivered { status: status.as_u16() },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Answer::Failed { reason: reason(), retry_after: retry_after(headers) }
        }
        status if status.is_server_error() => {
            Answer::Failed { reason: reason(), retry_after: retry_after(headers) }
        }
        status if status.is_redirection() => {
            Answer::Refused { reason: format!("{}; redirects are not followed", reason()) }
        }
        _ => Answer::Refused { reason: reason() },
    }
}

/// Returns the time that the server asks to wait for, in seconds; the other form, a date, is left out.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

fn failed(error: reqwest::Error) -> Answer {
    // The URL has a query.
    let error = error.without_url();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(refused) = found.downcast_ref::<NoPublicAddress>() {
            let refusal = Refusal::NoPublicAddress(refused.host.clone());
            return Answer::Refused { reason: refusal.to_string() };
        }
        cause = found.source();
    }
    let reason = if error.is_timeout() {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else {
        Chain(&error).to_string()
    };
    Answer::Failed { reason, retry_after: None }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn answer(status: u16, retry_after: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        read(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn answers_are_read_as_http_defines_them() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(answer(status, "9"), Answer::Delivered { status });
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            let Answer::Failed { retry_after, .. } = answer(status, "9") else {
                panic!("{status}")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(9)));
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 422] {
            assert!(matches!(answer(status, "9"), Answer::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn a_server_cannot_put_a_webhook_off_forever() {
        let after = |text| match answer(503, text) {
            Answer::Failed { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after("18446744073709551615"), Some(MAX_RETRY_AFTER));
        for text in ["", "-1", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(after(text), None, "{text}");
        }
    }
}
