//! An HTTP proxy in front of the store that fails requests at random, and notes what was written.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};

use crate::{http::Message, proxy::Proxy};

/// Longer than the client waits for an answer.
const STALL: Duration = Duration::from_secs(3);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is answered with this status, and never reaches the store.
    Refused(u16),
    /// The store does what it asks, and the answer is this status.
    Denied(u16),
    /// The connection is closed before the store has the request.
    Closed,
    /// The store does what it asks, and the connection is closed without an answer.
    LostAnswer,
    /// The store gets half of it.
    CutRequest,
    /// The client gets half of the answer.
    CutAnswer,
    /// It takes half a second.
    Slow,
    /// The answer comes in small pieces.
    Trickle,
    /// No answer comes while the client waits.
    Stall,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::Refused(500),
        Self::Refused(503),
        Self::Denied(500),
        Self::Denied(503),
        Self::Closed,
        Self::LostAnswer,
        Self::CutRequest,
        Self::CutAnswer,
        Self::Slow,
        Self::Trickle,
        Self::Stall,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Refused(500) => "500, not executed",
            Self::Refused(_) => "503, not executed",
            Self::Denied(500) => "500, executed",
            Self::Denied(_) => "503, executed",
            Self::Closed => "closed before the request",
            Self::LostAnswer => "executed, no answer",
            Self::CutRequest => "request truncated",
            Self::CutAnswer => "answer truncated",
            Self::Slow => "slow",
            Self::Trickle => "answer in pieces",
            Self::Stall => "stalled",
        }
    }
}

/// What all gateways have passed on and failed.
#[derive(Default)]
pub(super) struct Journal {
    requests: Mutex<u64>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// Objects that were written, as the store said, with the number of times.
    writes: Mutex<BTreeMap<String, u64>>,
}

impl Journal {
    pub(super) fn requests(&self) -> u64 {
        *self.requests.lock().unwrap()
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap().clone()
    }

    /// Returns how often an object was written. `target`: `/bucket/key`.
    pub(super) fn writes(&self, target: &str) -> u64 {
        self.writes.lock().unwrap().get(target).copied().unwrap_or(0)
    }

    fn note(&self, method: &str, target: &str, status: u16) {
        // A query belongs to other operations, but for the name of this one in the SDK.
        let path = target.split('?').next().unwrap_or_default();
        let is_object = target == path || target.ends_with("?x-id=PutObject");
        if method == "PUT" && is_object && status == 200 {
            *self.writes.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        }
    }
}

/// What one gateway does.
struct Shared {
    journal: Arc<Journal>,
    random: Mutex<fastrand::Rng>,
    /// Percentage of the requests that fail.
    percent: AtomicU8,
}

/// One worker's way to the store.
pub(super) struct Gateway {
    proxy: tokio::sync::Mutex<Proxy>,
    address: String,
    shared: Arc<Shared>,
}

impl Gateway {
    /// Starts a gateway to the address `target` that fails nothing.
    pub(super) async fn start(target: &str, seed: u64, journal: &Arc<Journal>) -> Self {
        let shared = Arc::new(Shared {
            journal: Arc::clone(journal),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            percent: AtomicU8::new(0),
        });
        let relay = {
            let shared = Arc::clone(&shared);
            move |client, server| {
                let shared = Arc::clone(&shared);
                async move {
                    // The client sees what came of it.
                    let _ = serve(client, server, &shared).await;
                }
                .boxed()
            }
        };
        let mut proxy = Proxy::with_relay(target, Arc::new(relay)).await;
        proxy.restore().await;
        let address = proxy.address();
        Self { proxy: proxy.into(), address, shared }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sets the percentage of the requests that fail.
    pub(super) fn fail(&self, percent: u8) {
        self.shared.percent.store(percent, Ordering::Relaxed);
    }

    /// Refuses connections for a time.
    pub(super) async fn refuse(&self, time: Duration) {
        let mut proxy = self.proxy.lock().await;
        proxy.cut().await;
        sleep(time).await;
        proxy.restore().await;
    }
}

impl Shared {
    /// Decides on the next request.
    fn next(&self) -> Option<Fault> {
        *self.journal.requests.lock().unwrap() += 1;
        let mut random = self.random.lock().unwrap();
        if random.u8(0..100) >= self.percent.load(Ordering::Relaxed) {
            return None;
        }
        let fault = Fault::ALL[random.usize(0..Fault::ALL.len())];
        *self.journal.faults.lock().unwrap().entry(fault.name()).or_default() += 1;
        Some(fault)
    }
}

/// Passes requests on until a side closes its connection, or a fault does.
async fn serve(client: TcpStream, server: TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(request) = Message::request(&mut client).await? {
        let (method, target) = request.target();
        let fault = shared.next();
        match fault {
            Some(Fault::Refused(status)) => {
                return answer(client.get_mut(), status, &method).await;
            }
            Some(Fault::Closed) => return Ok(()),
            Some(Fault::CutRequest) => {
                let whole = request.whole();
                return server.get_mut().write_all(&whole[..whole.len() / 2]).await;
            }
            Some(Fault::Slow) => sleep(Duration::from_millis(500)).await,
            _ => {}
        }
        server.get_mut().write_all(&request.whole()).await?;
        let response = Message::response(&mut server, &method).await?;
        shared.journal.note(&method, &target, response.status());
        let (client, whole) = (client.get_mut(), response.whole());
        match fault {
            Some(Fault::Denied(status)) => return answer(client, status, &method).await,
            Some(Fault::LostAnswer) => return Ok(()),
            Some(Fault::CutAnswer) => return client.write_all(&whole[..whole.len() / 2]).await,
            Some(Fault::Trickle) => {
                for piece in whole.chunks(whole.len() / 4 + 1) {
                    client.write_all(piece).await?;
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Some(Fault::Stall) => {
                sleep(STALL).await;
                return Ok(());
            }
            _ => client.write_all(&whole).await?,
        }
    }
    Ok(())
}

/// Answers as a store does that fails or is overloaded.
async fn answer(client: &mut TcpStream, status: u16, method: &str) -> io::Result<()> {
    let code = if status == 503 { "SlowDown" } else { "InternalError" };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut response = format!(
        "HTTP/1.1 {status} Failure\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        response += &body;
    }
    client.write_all(response.as_bytes()).await
}
