//! Failures and properties that only an S3 service has.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use location::Location;
use s3s::S3ErrorCode;
use store::{
    Condition, Encryption, Error, ErrorKind, MAX_PUT_BYTES, PutOptions, S3Config, Secret, Store,
    StoreConfig, Stores,
};

use crate::server::{BUCKET, SECRET_KEY, Server};

fn open(config: S3Config, bucket: &str) -> Arc<dyn Store> {
    let stores = Stores::new(StoreConfig { s3: config, ..StoreConfig::default() }).unwrap();
    stores.open(&Location::s3(bucket, "").unwrap()).unwrap().0
}

async fn put(store: &dyn Store, key: &str, condition: Condition) -> Result<String, Error> {
    let options = PutOptions { condition, ..PutOptions::default() };
    store.put(key, Bytes::from_static(b"body"), options).await
}

/// Returns the error of every operation.
async fn failures(store: &dyn Store) -> Vec<Error> {
    let etag = "00000000000000000000000000000000";
    vec![
        store.head("a/key").await.unwrap_err(),
        store.read("a/key", 0..1, etag).await.unwrap_err(),
        store.get("a/key", 1).await.unwrap_err(),
        put(store, "a/key", Condition::Always).await.unwrap_err(),
        store.delete("a/key").await.unwrap_err(),
        store.list("a/").try_collect::<Vec<_>>().await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_wrong_secret_is_the_fault_of_this_process_and_not_printed() {
    let server = Server::start().await;
    let secret = "wrong-secret";
    let config = S3Config { secret_key: Some(Secret::new(secret)), ..server.config() };
    for error in failures(&*open(config, BUCKET)).await {
        assert_eq!(error.kind, ErrorKind::Misconfigured, "{error}");
        assert!(error.uri.starts_with("s3://bucket/a/"), "{error}");
        let printed = format!("{error:?} {error:#}");
        assert!(!printed.contains(secret) && !printed.contains(SECRET_KEY), "{printed}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let config = S3Config {
        endpoint: Some(format!("http://{address}")),
        max_attempts: 1,
        ..Server { address, state: Default::default() }.config()
    };
    for error in failures(&*open(config, BUCKET)).await {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("cannot be reached"), "{error}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_unavailable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let config = S3Config {
        read_timeout_seconds: 1,
        max_attempts: 1,
        ..Server { address, state: Default::default() }.config()
    };
    let error = open(config, BUCKET).head("key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_missing_bucket_is_reported() {
    let server = Server::start().await;
    let store = open(server.config(), "other");
    for error in failures(&*store).await {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    let error = store.get("key", 1).await.unwrap_err();
    assert!(error.message.contains("no such bucket"), "{error}");
}

#[tokio::test]
async fn transient_failures_are_retried_a_limited_number_of_times() {
    let server = Server::start().await;
    let store = open(S3Config { max_attempts: 3, ..server.config() }, BUCKET);
    put(&*store, "key", Condition::Always).await.unwrap();

    server.state.lock().unwrap().failures =
        [S3ErrorCode::SlowDown, S3ErrorCode::InternalError].into();
    store.head("key").await.unwrap();

    let failures = vec![S3ErrorCode::ServiceUnavailable; 9];
    server.state.lock().unwrap().failures = failures.into();
    let error = store.get("key", 10).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(server.state.lock().unwrap().failures.len(), 6);
}

#[tokio::test]
async fn a_conflict_of_writes_is_retried() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let conflict = || S3ErrorCode::ConditionalRequestConflict;
    server.state.lock().unwrap().failures = [conflict(), conflict()].into();
    put(&*store, "key", Condition::IfAbsent).await.unwrap();

    server.state.lock().unwrap().failures = vec![conflict(); 99].into();
    let error = put(&*store, "other", Condition::IfAbsent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(server.state.lock().unwrap().failures.len(), 94, "five attempts");
}

#[tokio::test]
async fn expired_credentials_are_the_fault_of_this_process() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().failures = [S3ErrorCode::ExpiredToken].into();
    let error = store.get("key", 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    assert!(error.message.contains("have expired: renew them"), "{error}");
}

#[tokio::test]
async fn the_probe_detects_a_store_that_ignores_conditions() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_write_conditions = true;
    let capabilities = store.probe("p/").await.unwrap();
    assert!(!capabilities.if_absent && !capabilities.if_match);
}

#[tokio::test]
async fn the_probe_detects_a_store_whose_if_match_never_holds() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().refuses_if_match = true;
    let capabilities = store.probe("p/").await.unwrap();
    assert!(capabilities.if_absent && !capabilities.if_match);
}

#[tokio::test]
async fn a_probe_without_permission_is_denied() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().failures = vec![S3ErrorCode::AccessDenied; 2].into();
    assert_eq!(store.probe("p/").await.unwrap_err().kind, ErrorKind::Denied);
}

#[tokio::test]
async fn an_object_in_an_archive_says_that_it_must_be_restored() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let etag = put(&*store, "key", Condition::Always).await.unwrap();
    let archived = S3ErrorCode::InvalidObjectState;
    server.state.lock().unwrap().failures = vec![archived; 2].into();
    let error = store.read("key", 0..2, &etag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Archived, "{error:#}");
    assert!(error.to_string().contains("restore"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn etags_are_compared_even_if_the_server_does_not() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_read_conditions = true;
    put(&*store, "key", Condition::Always).await.unwrap();
    let unused = "00000000000000000000000000000000";
    for range in [0..2, 3..99, 50..60] {
        let error = store.read("key", range, unused).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Changed, "{error}");
    }
}

#[tokio::test]
async fn a_response_that_ignores_the_range_is_detected() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_ranges = true;
    let etag = put(&*store, "key", Condition::Always).await.unwrap();
    assert_eq!(store.read("key", 0..2, &etag).await.unwrap(), "bo");
    assert_eq!(store.read("key", 2..4, &etag).await.unwrap_err().kind, ErrorKind::Other);
}

#[tokio::test]
async fn an_object_above_the_limit_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let body = Bytes::from(vec![0; MAX_PUT_BYTES + 1]);
    let error = store.put("key", body, PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert_eq!(server.state.lock().unwrap().requests, 0);
}

#[tokio::test]
async fn the_content_type_is_stored_and_invalid_metadata_refused() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let options = PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
    store.put("key", Bytes::new(), options).await.unwrap();
    assert_eq!(server.content_type("key").as_deref(), Some("application/json"));

    let metadata = [("Not A Key".to_owned(), String::new())].into();
    let options = PutOptions { metadata, ..PutOptions::default() };
    let error = store.put("key", Bytes::new(), options).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
}

/// What a server in trouble does with a connection.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    CloseAtOnce,
    /// Reads a request, then closes.
    Close,
    /// Reads a request, then resets the connection.
    Reset,
    /// Answers so much, then closes.
    Answer(&'static str),
    /// Answers so much, then resets.
    AnswerAndReset(&'static str),
}

/// Whatever the HTTP client calls it: as long as the store has not answered, nothing is known against
/// the request, and it may be tried again.
#[tokio::test]
async fn every_broken_answer_is_unavailable() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const PART: &str = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-9/10\r\n\
                        content-length: 10\r\n\r\n012";
    const SHORT: &str = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-9/10\r\n\
                         content-length: 3\r\n\r\n012";
    const CHUNKED: &str = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-9/10\r\n\
                           transfer-encoding: chunked\r\n\r\nzz\r\n012";
    let troubles = [
        Trouble::CloseAtOnce,
        Trouble::Close,
        Trouble::Reset,
        // Within the status line and within the headers.
        Trouble::Answer("HTTP/1.1 20"),
        Trouble::AnswerAndReset("HTTP/1.1 206 Partial Content\r\netag: "),
        // Within the body.
        Trouble::Answer(PART),
        Trouble::AnswerAndReset(PART),
        Trouble::Answer(SHORT),
        Trouble::Answer(CHUNKED),
        Trouble::Answer("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        Trouble::Answer(
            "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: 44\r\n\r\n\
             <Error><Code>SlowDown</Code></Error>        ",
        ),
        Trouble::Answer("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>"),
        // Not HTTP: a proxy in trouble, or a wrong port.
        Trouble::Answer("SSH-2.0-OpenSSH_9.2\r\n"),
    ];
    for trouble in troubles {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                if matches!(trouble, Trouble::CloseAtOnce) {
                    continue;
                }
                let mut request = [0; 16 * 1024];
                let _ = socket.read(&mut request).await;
                if let Trouble::Answer(text) | Trouble::AnswerAndReset(text) = trouble {
                    let _ = socket.write_all(text.as_bytes()).await;
                }
                if matches!(trouble, Trouble::Reset | Trouble::AnswerAndReset(_)) {
                    // Long enough for the answer to be read.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    socket.set_zero_linger().unwrap();
                }
            }
        });
        let config = Server { address, state: Default::default() }.config();
        let store = open(S3Config { max_attempts: 1, ..config }, BUCKET);
        let error = store.read("key", 0..10, "e").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{trouble:?}: {error:#}");
        assert!(error.is_transient());
        // A write has no body in its answer that may be broken.
        if !matches!(
            trouble,
            Trouble::Answer(PART | SHORT | CHUNKED) | Trouble::AnswerAndReset(PART)
        ) {
            let error = put(&*store, "key", Condition::Always).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{trouble:?}: {error:#}");
        }
    }
}

#[tokio::test]
async fn requests_name_encryption_and_owner() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, mut requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let read = socket.read(&mut request).await.unwrap_or(0);
            sent.send(String::from_utf8_lossy(&request[..read]).to_lowercase()).unwrap();
            let answer =
                "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let config = Server { address, state: Default::default() }.config();
    let config = S3Config {
        encryption: Encryption::Kms,
        kms_key_id: Some("my-key".into()),
        expected_bucket_owner: Some("123456789012".into()),
        ..config
    };
    let store = open(config, BUCKET);
    put(&*store, "key", Condition::Always).await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(request.contains("x-amz-server-side-encryption: aws:kms"), "{request}");
    assert!(request.contains("x-amz-server-side-encryption-aws-kms-key-id: my-key"), "{request}");
    assert!(request.contains("x-amz-expected-bucket-owner: 123456789012"), "{request}");
    store.head("key").await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(request.contains("x-amz-expected-bucket-owner: 123456789012"), "{request}");
    assert!(!request.contains("encryption"), "{request}");
}

/// Reads 100 bytes, with a timeout of one second, from a server that sends `body` one byte at a time
/// with pauses of `pause`, and then nothing.
async fn read_slowly(body: usize, pause: Duration) -> Error {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await;
        let head = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-99/100\r\n\
                    content-length: 100\r\n\r\n";
        let _ = socket.write_all(head.as_bytes()).await;
        for _ in 0..body {
            let _ = socket.write_all(b"x").await;
            tokio::time::sleep(pause).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let config = Server { address, state: Default::default() }.config();
    let config = S3Config { read_timeout_seconds: 1, max_attempts: 1, ..config };
    open(config, BUCKET).read("key", 0..100, "e").await.unwrap_err()
}

#[tokio::test]
async fn a_body_that_trickles_is_an_error() {
    // Each byte arrives well within the timeout of the next.
    let error = read_slowly(100, Duration::from_millis(200)).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("too slow"), "{error}");
}

#[tokio::test]
async fn a_body_that_stalls_is_an_error() {
    let error = read_slowly(3, Duration::ZERO).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("stalled"), "{error}");
}
