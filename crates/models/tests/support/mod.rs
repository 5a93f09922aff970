//! A test server, and a library whose catalogue has one model.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "these are tests, though clippy sees helpers")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use models::{Catalogue, Library, PullOptions, PullProgress};
use sha2::{Digest, Sha256};

/// A request to the test server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// First byte of the requested range.
    pub(crate) from: Option<usize>,
    /// Entity tag that the file must still have for the range to be sent.
    pub(crate) if_range: Option<String>,
}

/// Response of the test server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Announced length; `None` sends no length.
    pub(crate) length: Option<usize>,
    /// Keep the connection open after the body, until the test ends.
    pub(crate) hang: bool,
}

impl Reply {
    pub(crate) fn whole(body: &[u8]) -> Self {
        Self { status: "200 OK", length: Some(body.len()), body: body.into(), ..Self::default() }
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self { status, length: Some(0), ..Self::default() }
    }

    /// Returns the response of a server that supports ranges.
    pub(crate) fn ranged(request: &Request, body: &[u8]) -> Self {
        let Some(from) = request.from else { return Self::whole(body) };
        if from >= body.len() {
            return Self::status("416 Range Not Satisfiable");
        }
        let range = format!("Content-Range: bytes {from}-{}/{}", body.len() - 1, body.len());
        Self { status: "206 Partial Content", headers: vec![range], ..Self::whole(&body[from..]) }
    }

    /// Truncates the body: the connection breaks after this many bytes.
    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.body.truncate(after);
        self
    }
}

/// An HTTP server on the loopback interface, one request per connection.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a server. `answer` is also given the number of earlier requests.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(request) = read_request(&stream) else { continue };
                let before = {
                    let mut log = log.lock().unwrap();
                    log.push(request.clone());
                    log.len() - 1
                };
                let reply = answer(&request, before);
                send(&stream, &reply);
                if reply.hang {
                    hanging.push(stream);
                }
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn offsets(&self) -> Vec<Option<usize>> {
        self.requests().iter().map(|request| request.from).collect()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let (mut from, mut if_range) = (None, None);
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = Some(range.trim_end_matches('-').parse().unwrap());
        }
        if let Some(tag) = line.to_ascii_lowercase().strip_prefix("if-range: ") {
            if_range = Some(tag.to_owned());
        }
    }
    Some(Request { path, from, if_range })
}

fn send(mut stream: &TcpStream, reply: &Reply) {
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", reply.status);
    if let Some(length) = reply.length {
        head += &format!("Content-Length: {length}\r\n");
    }
    for header in &reply.headers {
        head += &format!("{header}\r\n");
    }
    // The client may close the connection early.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&reply.body);
}

/// Returns an address that refuses connections.
pub(crate) fn unreachable() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Returns bytes that differ from those of any other seed.
pub(crate) fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns a library in `root` whose catalogue has one model, `m`. Each file: name, content, sources.
pub(crate) fn library(root: &Path, files: &[(&str, &[u8], String)]) -> Library {
    let files: Vec<String> = files
        .iter()
        .map(|(name, content, sources)| {
            let (size, sha) = (content.len(), sha256(content));
            format!("{{ path = '{name}', size = {size}, sha256 = '{sha}', sources = [{sources}] }}")
        })
        .collect();
    let catalogue = Catalogue::parse(&format!(
        "[[model]]\nname = 'm'\nfamily = 'whisper'\nlicence = 'MIT'\nlanguages = ['en']\n\
         description = 'for tests'\nfiles = [{}]",
        files.join(", ")
    ))
    .unwrap();
    Library::new(root.join("library"), catalogue).with_pull_options(PullOptions {
        stall_timeout: Duration::from_millis(500),
        retry_delay: Duration::from_millis(1),
        ..PullOptions::default()
    })
}

/// Returns sources: this path on each of these servers.
pub(crate) fn urls(servers: &[&str], path: &str) -> String {
    servers.iter().map(|server| format!("{{ url = '{server}/{path}' }}, ")).collect()
}

pub(crate) async fn pull(library: &Library) -> Result<models::ModelDirectory, models::Error> {
    let pulled = library.pull(&library.catalogue().models[0], &|_: PullProgress<'_>| ()).await?;
    assert_eq!(pulled.pinned, [], "all checksums are known");
    Ok(pulled.model)
}

pub(crate) fn verify(library: &Library) -> Result<(), models::Error> {
    library.verify(&library.catalogue().models[0])
}
