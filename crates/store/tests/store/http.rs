//! Recordings on web servers: those that serve ranges, those that do not, and those that lie.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use store::{
    Error, ErrorKind, HttpAccess, HttpConfig, HttpOptions, PutOptions, Store, StoreConfig, Stores,
};

use crate::web_server::{Request, Step, WebServer, header, ranged, response};

/// In the query of each URL, and in no error.
const SECRET: &str = "?X-Amz-Signature=s3cret";

fn body() -> Vec<u8> {
    (0..5000).map(|i| (i * i % 251) as u8).collect()
}

fn open_as(access: HttpAccess, allow_private: bool, url: &str) -> Arc<dyn Store> {
    let config = StoreConfig { http: HttpConfig { allow_private }, ..StoreConfig::default() };
    let stores = Stores::new(config).unwrap().with_http(HttpOptions {
        access,
        proxies: false,
        spool_directory: std::env::temp_dir(),
        max_spool_bytes: 10_000,
    });
    stores.open(&url.parse().unwrap()).unwrap().0
}

fn listed(patterns: &[&str]) -> HttpAccess {
    HttpAccess::Listed(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
}

/// Opens the URL as the person's own.
fn open(server: &WebServer) -> Arc<dyn Store> {
    open_as(HttpAccess::Own, false, &server.url(&format!("/a%20b.wav{SECRET}")))
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.unwrap_err();
    let text = format!("{error} {error:#} {error:?}");
    assert!(!text.contains("s3cret"), "{text}");
    error.kind
}

async fn read_all(store: &dyn Store) -> Result<Vec<u8>, Error> {
    let (meta, start) = store.begin("", 1000).await?;
    let mut all = start.to_vec();
    while (all.len() as u64) < meta.size {
        let from = all.len() as u64;
        all.extend(store.read("", from..from + 1500, &meta.etag).await?);
    }
    Ok(all)
}

#[tokio::test]
async fn ranges_of_one_version_are_read() {
    let server = WebServer::start(|request| ranged(request, "v1", &body())).await;
    let store = open(&server);
    assert!(!format!("{store:?}").contains("s3cret"));
    let meta = store.head("").await.unwrap();
    assert_eq!((meta.size, meta.etag.as_str()), (5000, "v1"));
    assert_eq!(meta.key, server.url("/a%20b.wav?…"));
    assert_eq!(read_all(&*store).await.unwrap(), body());
    let requests = server.requests();
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/a%20b.wav?X-Amz-Signature=s3cret")
        );
        assert_eq!(request.field("accept-encoding"), Some("identity"));
    }
    let ranges: Vec<_> = requests.iter().map(|request| request.range().unwrap()).collect();
    assert_eq!(ranges, [(0, 0), (0, 999), (1000, 2499), (2500, 3999), (4000, 5499)]);
    assert_eq!(requests[2].field("if-match"), Some("\"v1\""));
    assert!(store.read("", 6000..7000, "v1").await.unwrap().is_empty());
    let (meta, whole) = store.get("", 5000).await.unwrap();
    assert_eq!((meta.etag.as_str(), &whole[..]), ("v1", &body()[..]));
    assert_eq!(kind(store.get("", 4999).await), ErrorKind::TooLarge);
}

#[tokio::test]
async fn nothing_is_written_to_a_url() {
    let server = WebServer::start(|request| ranged(request, "v1", &body())).await;
    let store = open(&server);
    assert_eq!(kind(store.put("", "x".into(), PutOptions::default()).await), ErrorKind::Invalid);
    assert_eq!(kind(store.delete("").await), ErrorKind::Invalid);
    assert_eq!(kind(store.check_writable("").await), ErrorKind::Invalid);
    assert_eq!(kind(store.probe("").await), ErrorKind::Invalid);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_change_while_it_is_read_is_an_error() {
    type Answer = fn(&Request, usize) -> Vec<Step>;
    let answers: [(&str, Answer); 5] = [
        ("the server checks", |request, count| {
            ranged(request, if count == 0 { "v1" } else { "v2" }, &body())
        }),
        ("the server ignores conditions", |request, count| {
            let range = request.field("range").unwrap().replace("bytes=", "bytes ");
            let etag = if count == 0 { "\"v1\"" } else { "\"v2\"" };
            let fields = [("etag", etag), ("content-range", &*format!("{range}/5000"))];
            let (first, last) = request.range().unwrap();
            response(206, &fields, &body()[first..=last])
        }),
        ("the size changes", |request, count| {
            let range = request.field("range").unwrap().replace("bytes=", "bytes ");
            let size = if count == 0 { 5000 } else { 5001 };
            let range = format!("{range}/{size}");
            let fields =
                [("last-modified", "Wed, 25 Nov 2026 07:28:00 GMT"), ("content-range", &*range)];
            let (first, last) = request.range().unwrap();
            response(206, &fields, &body()[first..=last])
        }),
        ("it becomes shorter", |request, count| {
            let body = if count == 0 { body() } else { body()[..500].to_vec() };
            let etag = if count == 0 { "v1" } else { "v2" };
            match count {
                0 => ranged(request, etag, &body),
                _ => match request.range().unwrap() {
                    (0, _) => response(
                        206,
                        &[("etag", "\"v2\""), ("content-range", "bytes 0-0/500")],
                        b"x",
                    ),
                    _ => response(416, &[("content-range", "bytes */500")], b""),
                },
            }
        }),
        ("another whole recording", |request, count| match count {
            0 => ranged(request, "v1", &body()),
            _ => response(200, &[("etag", "\"v2\"")], &body()),
        }),
    ];
    for (what, answer) in answers {
        let count = AtomicUsize::new(0);
        let server =
            WebServer::start(move |request| answer(request, count.fetch_add(1, Ordering::SeqCst)))
                .await;
        assert_eq!(kind(read_all(&*open(&server)).await), ErrorKind::Changed, "{what}");
    }
}

#[tokio::test]
async fn servers_without_ranges_are_downloaded_once() {
    for with_length in [true, false] {
        let server = WebServer::start(move |_| match with_length {
            true => response(200, &[("etag", "\"v1\"")], &body()),
            false => vec![Step::Send([header(200, &[("etag", "\"v1\"")]), body()].concat())],
        })
        .await;
        let store = open(&server);
        assert_eq!(read_all(&*store).await.unwrap(), body());
        assert_eq!(server.requests().len(), 1);
        assert_eq!(kind(store.read("", 0..5, "v0").await), ErrorKind::Changed);
    }
    // The description alone downloads nothing.
    let server = WebServer::start(|_| {
        vec![
            Step::Send(header(200, &[("etag", "\"v1\""), ("content-length", "5000")])),
            Step::Wait(Duration::from_secs(600)),
        ]
    })
    .await;
    assert_eq!(open(&server).head("").await.unwrap().size, 5000);
}

#[tokio::test]
async fn a_server_that_stops_to_serve_ranges_is_downloaded() {
    let count = AtomicUsize::new(0);
    let server = WebServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => ranged(request, "v1", &body()),
        _ => response(200, &[("etag", "\"v1\"")], &body()),
    })
    .await;
    assert_eq!(read_all(&*open(&server)).await.unwrap(), body());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn without_anything_that_tells_versions_apart_the_content_does() {
    let server = WebServer::start(|request| {
        let Some((first, last)) = request.range() else { return response(200, &[], &body()) };
        let range = format!("bytes {first}-{last}/5000");
        response(206, &[("content-range", &range)], &body()[first..=last])
    })
    .await;
    let store = open(&server);
    let etag = store.head("").await.unwrap().etag;
    assert_eq!(etag.len(), 64, "{etag}");
    assert_eq!(read_all(&*store).await.unwrap(), body());
    assert_eq!(server.requests().len(), 2, "one without a range");
}

#[tokio::test]
async fn an_empty_recording_is_found() {
    let server = WebServer::start(|request| ranged(request, "v1", b"")).await;
    assert_eq!(open(&server).begin("", 1000).await.unwrap().0.size, 0);
}

#[tokio::test]
async fn lies_of_servers_are_errors() {
    type Answer = fn(&Request) -> Vec<Step>;
    let answers: [(&str, Answer, ErrorKind); 7] = [
        (
            "another range",
            |_| {
                response(
                    206,
                    &[("etag", "\"v\""), ("content-range", "bytes 7-16/5000")],
                    &body()[..10],
                )
            },
            ErrorKind::Other,
        ),
        ("no range", |_| response(206, &[("etag", "\"v\"")], &body()[..10]), ErrorKind::Other),
        (
            "an impossible range",
            |_| {
                response(206, &[("etag", "\"v\""), ("content-range", "bytes 0-9/5")], &body()[..10])
            },
            ErrorKind::Other,
        ),
        (
            "a body without end",
            |_| vec![Step::Send(header(200, &[("etag", "\"v\"")])), Step::Endless],
            ErrorKind::TooLarge,
        ),
        (
            "a huge size",
            |_| {
                vec![
                    Step::Send(header(200, &[("content-length", "9000000000000000000")])),
                    Step::Endless,
                ]
            },
            ErrorKind::TooLarge,
        ),
        (
            "compressed",
            |_| response(200, &[("content-encoding", "gzip")], &body()),
            ErrorKind::Invalid,
        ),
        (
            "a size that is never sent",
            |_| vec![Step::Send([header(200, &[("content-length", "9000")]), body()].concat())],
            ErrorKind::Unavailable,
        ),
    ];
    for (what, answer, expected) in answers {
        let server = WebServer::start(answer).await;
        assert_eq!(kind(read_all(&*open(&server)).await), expected, "{what}");
    }
    // More in the body than was asked for is left out, and fewer bytes are an error.
    let server = WebServer::start(|request| {
        let (first, last) = request.range().unwrap();
        let range = format!("bytes {first}-{last}/5000");
        let fields = [("etag", "\"v\""), ("content-range", &*range)];
        match first {
            0 => [vec![Step::Send(header(206, &fields))], vec![Step::Endless]]
                .into_iter()
                .flatten()
                .collect(),
            _ => vec![Step::Send([header(206, &fields), vec![7; 10]].concat())],
        }
    })
    .await;
    let store = open(&server);
    assert_eq!(store.begin("", 1000).await.unwrap().1.len(), 1000);
    assert_eq!(kind(store.read("", 1000..2000, "v").await), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn neither_silence_nor_a_drip_holds_the_reader() {
    for wait in [3600, 20] {
        let server = WebServer::start(move |request| {
            let (first, last) = request.range().unwrap();
            let range = format!("bytes {first}-{last}/5000");
            let fields = [("etag", "\"v\""), ("content-range", &*range)];
            let drip =
                (0..500).flat_map(|_| [Step::Wait(Duration::from_secs(wait)), Step::Send(vec![7])]);
            std::iter::once(Step::Send(header(206, &fields))).chain(drip).collect()
        })
        .await;
        let start = tokio::time::Instant::now();
        assert_eq!(kind(open(&server).read("", 0..1000, "v").await), ErrorKind::Unavailable);
        assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    for (status, expected) in [
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (429, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
    ] {
        let server =
            WebServer::start(move |_| response(status, &[("retry-after", "3600")], b"no")).await;
        let start = Instant::now();
        assert_eq!(kind(open(&server).head("").await), expected, "{status}");
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(server.requests().len(), 1, "nobody waits for an hour");
    }
    let text = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let server = WebServer::start(|_| response(403, &[], text)).await;
    assert_eq!(kind(open(&server).head("").await), ErrorKind::Expired);
    let address = "http://127.0.0.1:1/a?X-Amz-Signature=s3cret";
    assert_eq!(
        kind(open_as(HttpAccess::Own, false, address).head("").await),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_when_it_says() {
    let count = AtomicUsize::new(0);
    let server = WebServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => response(503, &[("retry-after", "1")], b""),
        _ => ranged(request, "v1", &body()),
    })
    .await;
    let start = Instant::now();
    assert_eq!(read_all(&*open(&server)).await.unwrap(), body());
    assert!(start.elapsed() >= Duration::from_secs(1));
}

/// Redirects `/5` to `/4` and so on, and serves `/0`.
fn countdown(request: &Request) -> Vec<Step> {
    let path = request.target.split('?').next().unwrap();
    match path.trim_start_matches('/').parse::<u32>() {
        Ok(0) | Err(_) => ranged(request, "v1", &body()),
        Ok(number) => {
            response(302, &[("location", &format!("/{}?X-Amz-Signature=s3cret", number - 1))], b"")
        }
    }
}

#[tokio::test]
async fn five_redirects_are_followed_once() {
    let server = WebServer::start(countdown).await;
    let prefix = server.url("/");
    let open =
        |number: u32| open_as(listed(&[&prefix]), true, &server.url(&format!("/{number}{SECRET}")));
    assert_eq!(read_all(&*open(5)).await.unwrap(), body());
    assert_eq!(server.requests().len(), 6 + 3, "further ranges come from where it led");
    assert_eq!(kind(read_all(&*open(6)).await), ErrorKind::Other);
    let server =
        WebServer::start(|request| response(302, &[("location", &request.target)], b"")).await;
    let store = open_as(HttpAccess::Own, false, &server.url("/loop"));
    assert_eq!(kind(store.head("").await), ErrorKind::Other);
}

#[tokio::test]
async fn workers_go_only_where_they_may() {
    let server = WebServer::start(|request| {
        let path = request.target.split('?').next().unwrap();
        match path {
            "/metadata" => response(302, &[("location", "http://169.254.169.254/latest")], b""),
            "/elsewhere" => {
                response(302, &[("location", "https://example.org/?X-Amz-Signature=s3cret")], b"")
            }
            "/file" => response(302, &[("location", "file:///etc/passwd")], b""),
            "/up" => response(302, &[("location", "/other/x")], b""),
            _ => ranged(request, "v1", &body()),
        }
    })
    .await;
    let (prefix, port) = (server.url("/"), server.address.port());
    let by_name = format!("http://localhost:{port}/");
    let head = async |access, private, url: &str| {
        let store = open_as(access, private, &format!("{url}{SECRET}"));
        store.head("").await.map(|meta| meta.size)
    };
    let at = |path: &str| server.url(path);
    // Nothing is opened unless it is listed, and no private address unless that is allowed, too.
    assert_eq!(kind(head(HttpAccess::Off, true, &at("/a")).await), ErrorKind::NotAllowed);
    assert_eq!(kind(head(listed(&[]), true, &at("/a")).await), ErrorKind::NotAllowed);
    assert_eq!(kind(head(listed(&[&prefix]), false, &at("/a")).await), ErrorKind::NotAllowed);
    let name = format!("{by_name}a");
    assert_eq!(kind(head(listed(&[&by_name]), false, &name).await), ErrorKind::NotAllowed);
    assert!(server.requests().is_empty());
    assert_eq!(head(listed(&[&by_name]), true, &name).await.unwrap(), 5000);
    assert_eq!(head(listed(&[&prefix]), true, &at("/a")).await.unwrap(), 5000);
    // Nor by a redirect.
    for path in ["/metadata", "/elsewhere"] {
        let error = head(listed(&[&prefix]), true, &at(path)).await;
        assert_eq!(kind(error), ErrorKind::NotAllowed, "{path}");
    }
    let below = at("/up");
    assert_eq!(
        kind(head(listed(&[&below]), true, &format!("{below}/x/../../up")).await),
        ErrorKind::NotAllowed
    );
    assert_eq!(kind(head(listed(&[&prefix]), true, &at("/file")).await), ErrorKind::Other);
}
