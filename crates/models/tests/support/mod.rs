#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "these are tests, though clippy sees helpers")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use models::{Catalogue, Library, PullOptions, PullProgress};
use sha2::{Digest, Sha256};

/// What a test server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The first byte that is wanted.
    pub(crate) from: Option<usize>,
    /// The tag that the file must still have for that.
    pub(crate) if_range: Option<String>,
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Promise this length instead of the body's; `None` sends no length at all.
    pub(crate) length: Option<usize>,
    /// Stand still after the body, as long as the test lives.
    pub(crate) hang: bool,
}

impl Reply {
    pub(crate) fn whole(body: &[u8]) -> Self {
        Self { status: "200 OK", length: Some(body.len()), body: body.into(), ..Self::default() }
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self { status, length: Some(0), ..Self::default() }
    }

    /// What a server that can resume says to this request.
    pub(crate) fn ranged(request: &Request, body: &[u8]) -> Self {
        let Some(from) = request.from else { return Self::whole(body) };
        if from >= body.len() {
            return Self::status("416 Range Not Satisfiable");
        }
        let range = format!("Content-Range: bytes {from}-{}/{}", body.len() - 1, body.len());
        Self { status: "206 Partial Content", headers: vec![range], ..Self::whole(&body[from..]) }
    }

    /// The connection breaks after this many bytes of the body.
    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.body.truncate(after);
        self
    }
}

/// An HTTP server on the loopback interface, one request per connection.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` also gets how many requests came before.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
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
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn offsets(&self) -> Vec<Option<usize>> {
        self.asked().iter().map(|request| request.from).collect()
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
    // A client that has seen enough hangs up: that is its right.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&reply.body);
}

/// An address that refuses connections.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Bytes that no other seed gives.
pub(crate) fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A library in `root` whose catalogue knows one model, `m`. Each file: name, content, sources.
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

/// One source: this path of these servers, in order.
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
