//! A web server that does what a test says, byte by byte: also what no library would let it do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    head: String,
}

impl Request {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The range that is asked for, as first and last byte.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// What is done with a connection.
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Sends bytes until the client is gone.
    Endless,
}

/// Returns the steps of a complete response.
pub(crate) fn response(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    let length = body.len().to_string();
    let mut fields = fields.to_vec();
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        fields.push(("content-length", &length));
    }
    vec![Step::Send([header(status, &fields).as_slice(), body].concat())]
}

/// Returns the header of a response after which the connection is closed.
pub(crate) fn header(status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} x\r\n{fields}connection: close\r\n\r\n").into_bytes()
}

/// Answers as a server should that serves ranges of `body`.
pub(crate) fn ranged(request: &Request, etag: &str, body: &[u8]) -> Vec<Step> {
    let etag = format!("\"{etag}\"");
    if request.field("if-match").is_some_and(|wanted| wanted != etag) {
        return response(412, &[], b"");
    }
    let Some((first, last)) = request.range() else {
        return response(200, &[("etag", &etag)], body);
    };
    if first >= body.len() {
        return response(416, &[("content-range", &format!("bytes */{}", body.len()))], b"");
    }
    let last = last.min(body.len() - 1);
    let range = format!("bytes {first}-{last}/{}", body.len());
    response(206, &[("etag", &etag), ("content-range", &range)], &body[first..=last])
}

/// A running server. It stops with the runtime.
pub(crate) struct WebServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl WebServer {
    pub(crate) async fn start(
        answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let _ = serve(socket, &seen, &*answer).await;
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Vec<Step> + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let request = Request { method, target, head };
    seen.lock().unwrap().push(request.clone());
    for step in answer(&request) {
        match step {
            Step::Send(bytes) => socket.write_all(&bytes).await?,
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::Endless => loop {
                socket.write_all(&[7; 64 << 10]).await?;
            },
        }
    }
    socket.shutdown().await
}
