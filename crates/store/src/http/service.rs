//! The client of all web servers: where it may go, redirects and retries.

use std::{
    net::IpAddr,
    ops::Range,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use location::HttpUrl;
use outbound::{PublicResolver, UrlPattern, is_public, literal_address};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT_ENCODING, HeaderMap, LOCATION, RANGE, RETRY_AFTER},
    redirect::Policy as Redirects,
};
use tokio::time::timeout;

use super::{
    body::{IDLE_TIMEOUT, Incoming},
    error::Operation,
    headers::condition,
    spool::Spool,
};
use crate::{Error, ErrorKind, HttpConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the header of a response.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for the text of a refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the text of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 4096;
/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 5;
/// Longest time that a server may ask to wait for; if it asks for more, the request has failed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Delays between the attempts at one request, as those at S3.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_times(3)
    .with_jitter();
/// What allows an address that is not public: for workers, and on the command line, where it comes from a
/// redirect.
const ADVICE: &str = ", which store.http.allow_private would allow";
const OWN_ADVICE: &str = "; name it yourself if you trust it";

/// Whose URLs are opened.
#[derive(Debug, Clone, Default)]
pub enum HttpAccess {
    /// Nobody's.
    #[default]
    Off,
    /// Those of the person who started the process: all of them, also at private addresses. A public server
    /// must not redirect to a private address.
    Own,
    /// Those of others: only if a pattern allows them, and each one to which they redirect, and only at public
    /// addresses unless the configuration allows others.
    Listed(Vec<UrlPattern>),
}

/// How recordings on web servers are read, beside the configuration.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    pub access: HttpAccess,
    /// Whether the proxies of the environment are used, for [`HttpAccess::Own`]. A proxy resolves names
    /// itself: then only addresses in URLs are known to be private.
    pub proxies: bool,
    /// Where recordings are kept that cannot be read in ranges.
    pub spool_directory: PathBuf,
    /// Largest of them, in bytes.
    pub max_spool_bytes: u64,
}

/// What the stores of all URLs share.
#[derive(Debug)]
pub(crate) struct HttpService {
    config: HttpConfig,
    options: HttpOptions,
    /// Connects to every address.
    open: OnceLock<Client>,
    /// Connects to public addresses, and to private ones if the configuration allows it.
    guarded: OnceLock<Client>,
}

/// A URL, and where it led last.
#[derive(Debug)]
pub(super) struct Route {
    url: HttpUrl,
    /// Where the latest redirect led to. It is not followed again for each range.
    end: Mutex<Option<HttpUrl>>,
}

impl Route {
    pub(super) fn new(url: HttpUrl) -> Self {
        Self { url, end: Mutex::default() }
    }

    pub(super) fn url(&self) -> &HttpUrl {
        &self.url
    }

    fn end(&self) -> Option<HttpUrl> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_end(&self, end: Option<HttpUrl>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

/// A request that failed, and how long the server asks to wait.
struct Failed {
    error: Error,
    retry_after: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            access: HttpAccess::Off,
            proxies: false,
            spool_directory: PathBuf::new(),
            max_spool_bytes: 0,
        }
    }
}

impl HttpService {
    pub(crate) fn new(config: HttpConfig, options: HttpOptions) -> Self {
        Self { config, options, open: OnceLock::new(), guarded: OnceLock::new() }
    }

    pub(super) fn spool(&self) -> Spool {
        let HttpOptions { spool_directory, max_spool_bytes, .. } = &self.options;
        Spool { directory: spool_directory.clone(), max_bytes: *max_spool_bytes }
    }

    /// Sends a request until it is answered: with a recording or a part of it (200, 206), or with the reason why
    /// there is none (412, 416).
    ///
    /// # Errors
    ///
    /// All other answers, and none.
    pub(super) async fn get(
        &self,
        op: &Operation,
        route: &Route,
        range: Option<&Range<u64>>,
        etag: Option<&str>,
    ) -> Result<Response, Error> {
        let mut delays = BACKOFF.build();
        loop {
            let failed = match self.attempt(op, route, range, etag).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let patience = failed.retry_after.unwrap_or_default();
            let delay = delays.next().map(|delay| delay.max(patience));
            match delay {
                Some(delay)
                    if failed.error.kind == ErrorKind::Unavailable
                        && patience <= MAX_RETRY_AFTER =>
                {
                    let error = format!("{:#}", failed.error);
                    tracing::debug!(error, ?delay, "request failed, retrying");
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(failed.error),
            }
        }
    }

    /// Sends a request once: to where the latest one was redirected, and if it is refused there, to the URL.
    async fn attempt(
        &self,
        op: &Operation,
        route: &Route,
        range: Option<&Range<u64>>,
        etag: Option<&str>,
    ) -> Result<Response, Failed> {
        if let Some(end) = route.end() {
            if let Ok(response) =
                self.follow(op, &end, range, etag, true).await.map(|found| found.0)
            {
                return Ok(response);
            }
            route.set_end(None);
        }
        let (response, end) = self.follow(op, route.url(), range, etag, false).await?;
        route.set_end(end);
        Ok(response)
    }

    /// Sends a request and follows its redirects. Returns the response, and where it was redirected to.
    /// `redirected`: the URL itself comes from a server.
    async fn follow(
        &self,
        op: &Operation,
        url: &HttpUrl,
        range: Option<&Range<u64>>,
        etag: Option<&str>,
        redirected: bool,
    ) -> Result<(Response, Option<HttpUrl>), Failed> {
        let mut current = url.clone();
        // A redirect to a private address is followed from a private one only.
        let mut from_private = false;
        for hop in 0..=MAX_REDIRECTS {
            let is_named = hop == 0 && !redirected;
            self.check(op, &current, is_named, from_private)?;
            let client = self.client(op, is_named || from_private)?;
            let mut request =
                client.get(current.reveal().clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(range) = range {
                let last = range.end.saturating_sub(1);
                request = request.header(RANGE, format!("bytes={}-{last}", range.start));
            }
            if let Some((name, value)) = etag.and_then(condition) {
                request = request.header(name, value);
            }
            let response = match timeout(ANSWER_TIMEOUT, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(op.unanswered(error, self.advice()).into()),
                Err(_) => {
                    let error = op.error(ErrorKind::Unavailable, "the server does not answer");
                    return Err(error.into());
                }
            };
            if is_named && matches!(self.options.access, HttpAccess::Own) {
                from_private = self.is_private(&current, &response);
            }
            let status = response.status();
            if let 301 | 302 | 303 | 307 | 308 = status.as_u16()
                && let Some(location) = response.headers().get(LOCATION)
            {
                let next = location.to_str().ok().and_then(|text| current.redirect(text).ok());
                let invalid = || op.error(ErrorKind::Other, "the server redirects to no URL");
                current = next.ok_or_else(invalid)?;
                continue;
            }
            return match status {
                StatusCode::OK
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::RANGE_NOT_SATISFIABLE
                | StatusCode::PRECONDITION_FAILED => {
                    // What was redirected from a private address needs no second way to be checked.
                    let end = (hop > 0 && !from_private).then_some(current);
                    Ok((response, end))
                }
                _ => Err(refusal(op, &current, response).await),
            };
        }
        let message = format!("the server redirects more than {MAX_REDIRECTS} times");
        Err(op.error(ErrorKind::Other, message).into())
    }

    /// Checks all that can be known before the name of the host is resolved. `is_named`: somebody has given the
    /// URL, and no server.
    fn check(
        &self,
        op: &Operation,
        url: &HttpUrl,
        is_named: bool,
        from_private: bool,
    ) -> Result<(), Error> {
        let refuse = |why: &str| {
            let subject =
                if is_named { "it".to_owned() } else { format!("it redirects to {url}, which") };
            Err(op.error(ErrorKind::NotAllowed, format!("{subject} {why}")))
        };
        let private = literal_address(url.reveal()).filter(|address| !is_public(*address));
        match &self.options.access {
            HttpAccess::Off => refuse("is a URL, and none are opened here"),
            HttpAccess::Own if is_named || from_private || private.is_none() => Ok(()),
            HttpAccess::Own => refuse(&format!("is not a public address{OWN_ADVICE}")),
            HttpAccess::Listed(patterns) => {
                if !patterns.iter().any(|pattern| pattern.matches(url.reveal())) {
                    return refuse("is not below a prefix of worker.sources");
                }
                match private {
                    Some(_) if !self.config.allow_private => {
                        refuse(&format!("is not a public address{ADVICE}"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn advice(&self) -> &'static str {
        if matches!(self.options.access, HttpAccess::Own) { OWN_ADVICE } else { ADVICE }
    }

    /// Returns the client for a URL that has been checked. `is_trusted`: whoever started the process wants to
    /// go there, wherever that is.
    fn client(&self, op: &Operation, is_trusted: bool) -> Result<&Client, Error> {
        let is_own = matches!(self.options.access, HttpAccess::Own);
        let is_open = is_own && (is_trusted || self.options.proxies);
        let cell = if is_open { &self.open } else { &self.guarded };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .user_agent(concat!("scriptorium/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .redirect(Redirects::none())
            .referer(false);
        let builder = match is_open {
            true if self.options.proxies => builder,
            true => builder.no_proxy(),
            // A proxy would resolve names itself.
            false => {
                let allow_private = !is_own && self.config.allow_private;
                builder.no_proxy().dns_resolver(PublicResolver { allow_private })
            }
        };
        // For example, the machine has no certificates.
        let client = builder.build().map_err(|error| {
            op.error(ErrorKind::Other, "there can be no TLS").with_source(error.without_url())
        })?;
        Ok(cell.get_or_init(|| client))
    }

    /// Returns whether a response came from an address that is not public. If that of a proxy is all that is
    /// known, the URL itself must say so.
    fn is_private(&self, url: &HttpUrl, response: &Response) -> bool {
        let address: Option<IpAddr> = match self.options.proxies {
            true => literal_address(url.reveal()),
            false => response.remote_addr().map(|address| address.ip()),
        };
        address.is_some_and(|address| !is_public(address.to_canonical()))
    }
}

/// Reads why a server refuses a request.
async fn refusal(op: &Operation, url: &HttpUrl, response: Response) -> Failed {
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    let mut text = Vec::new();
    let mut incoming = Incoming::new(op, response);
    let read = async {
        while text.len() < MAX_REFUSAL_BYTES
            && let Ok(Some(chunk)) = incoming.next().await
        {
            text.extend_from_slice(&chunk[..chunk.len().min(MAX_REFUSAL_BYTES - text.len())]);
        }
    };
    let _ = timeout(REFUSAL_TIMEOUT, read).await;
    Failed { error: op.refused(status, url.reveal(), &text), retry_after }
}

/// Returns the time that a server asks to wait for, in seconds; the other form, a date, is left out.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use location::Location;

    use super::*;

    fn check(access: HttpAccess, url: &str, is_named: bool, from_private: bool) -> Option<String> {
        let options = HttpOptions { access, ..HttpOptions::default() };
        let service = HttpService::new(HttpConfig::default(), options);
        let op = Operation { name: "read", uri: "https://a.org/".to_owned() };
        let Ok(Location::Http(url)) = url.parse() else { panic!("{url}") };
        service.check(&op, &url, is_named, from_private).err().map(|error| error.message)
    }

    #[test]
    fn a_public_server_redirects_a_person_to_no_private_address() {
        let own =
            |url: &str, is_named, from_private| check(HttpAccess::Own, url, is_named, from_private);
        for private in [
            "http://192.168.0.1/x?s3cret",
            "http://[::1]/x?s3cret",
            "http://169.254.169.254/x?s3cret",
        ] {
            assert_eq!(own(private, true, false), None, "{private}");
            assert_eq!(own(private, false, true), None, "from one private address to another");
            let refused = own(private, false, false).unwrap_or_default();
            assert!(
                refused.contains("name it yourself") && !refused.contains("s3cret"),
                "{refused}"
            );
        }
        assert_eq!(own("https://8.8.8.8/x", false, false), None);
        assert_eq!(own("https://example.org/x", false, false), None, "it is resolved later");
    }

    #[test]
    fn a_worker_goes_to_no_private_address() {
        let patterns = ["https://*/", "http://*/"].map(|pattern| pattern.parse().unwrap()).to_vec();
        let listed = |url: &str| check(HttpAccess::Listed(patterns.clone()), url, true, false);
        assert_eq!(listed("https://8.8.8.8/x"), None);
        for private in
            ["http://10.0.0.1/x", "http://0x7f.1/", "http://[fe80::1]/", "http://[::ffff:8.8.8.8]/"]
        {
            let refused = listed(private).unwrap_or_default();
            assert!(refused.contains("store.http.allow_private"), "{private}: {refused}");
        }
    }
}
