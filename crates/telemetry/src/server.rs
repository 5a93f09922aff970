//! The server of metrics and health.

use std::{convert::Infallible, sync::Arc, time::Duration};

use app::config::TelemetryConfig;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{Error, Health, health::Answer, metrics::Exposition};

/// Connections at a time. Whoever opens more waits.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server offers.
#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<dyn Exposition>,
    pub health: Arc<Health>,
}

/// Serves `/metrics`, `/livez`, `/readyz` and `/startupz` where the configuration says so, until the
/// runtime ends. Returns once it listens, and logs the address.
///
/// # Errors
///
/// [`Error::Listen`].
pub async fn serve(config: &TelemetryConfig, admin: Admin) -> Result<(), Error> {
    let address = &config.listen;
    if address.is_empty() {
        return Ok(());
    }
    let failed = |source| Error::Listen { address: address.clone(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "serving metrics and health");
    tokio::spawn(async move {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, mostly: others may be closed soon.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let admin = admin.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let admin = admin.clone();
                    async move { Ok::<_, Infallible>(admin.answer(&request)) }
                });
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that breaks off is its own matter.
                let _ = serving.await;
                drop(permit);
            });
        }
    });
    Ok(())
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
            response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.text());
                let kind = hyper::header::HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            "/livez" => probe(self.health.live()),
            "/readyz" => probe(self.health.ready()),
            "/startupz" => probe(self.health.startup()),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /livez, /readyz and /startupz\n".to_owned(),
            ),
        }
    }
}

fn probe(answer: Answer) -> Response<Full<Bytes>> {
    match answer {
        Ok(state) => text(StatusCode::OK, format!("{state}\n")),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
