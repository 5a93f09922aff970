//! What only an S3 service can do to us.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use location::Location;
use s3s::S3ErrorCode;
use store::{
    Condition, Config, Error, Kind, MAX_PUT_BYTES, PutOptions, S3Config, Secret, Store,
    Stores,
};

use crate::server::{BUCKET, SECRET_KEY, Server};

fn open(config: S3Config, bucket: &str) -> Arc<dyn Store> {
    let stores = Stores::new(Config { s3: config }).unwrap();
    stores.open(&Location::s3(bucket, "").unwrap()).unwrap().0
}

async fn put(store: &dyn Store, key: &str, condition: Condition) -> Result<String, Error> {
    let options = PutOptions { condition, ..PutOptions::default() };
    store.put(key, Bytes::from_static(b"body"), options).await
}

/// Every operation, and how it failed.
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
async fn a_wrong_secret_is_denied_and_not_told() {
    let server = Server::start().await;
    let secret = "wrong-secret";
    let config = S3Config { secret_key: Some(Secret::new(secret)), ..server.config() };
    for error in failures(&*open(config, BUCKET)).await {
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(error.uri.starts_with("s3://bucket/a/"), "{error}");
        let told = format!("{error:?} {error}");
        assert!(!told.contains(secret) && !told.contains(SECRET_KEY), "{told}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn nothing_listening_is_unavailable() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let config = S3Config {
        endpoint: Some(format!("http://{address}")),
        max_attempts: 1,
        ..Server { address, state: Default::default() }.config()
    };
    for error in failures(&*open(config, BUCKET)).await {
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.message.contains("not reached"), "{error}");
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
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_missing_bucket_is_said_to_be_missing() {
    let server = Server::start().await;
    let store = open(server.config(), "other");
    for error in failures(&*store).await {
        assert_eq!(error.kind, Kind::NotFound, "{error}");
    }
    let error = store.get("key", 1).await.unwrap_err();
    assert!(error.message.contains("no such bucket"), "{error}");
}

#[tokio::test]
async fn passing_failures_are_retried_a_bounded_number_of_times() {
    let server = Server::start().await;
    let store = open(S3Config { max_attempts: 3, ..server.config() }, BUCKET);
    put(&*store, "key", Condition::Always).await.unwrap();

    server.state.lock().unwrap().failures =
        [S3ErrorCode::SlowDown, S3ErrorCode::InternalError].into();
    store.head("key").await.unwrap();

    let failures = vec![S3ErrorCode::ServiceUnavailable; 9];
    server.state.lock().unwrap().failures = failures.into();
    let error = store.get("key", 10).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert_eq!(server.state.lock().unwrap().failures.len(), 6);
}

#[tokio::test]
async fn a_conflict_of_conditional_writes_is_tried_again() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let conflict = || S3ErrorCode::ConditionalRequestConflict;
    server.state.lock().unwrap().failures = [conflict(), conflict()].into();
    put(&*store, "key", Condition::IfAbsent).await.unwrap();

    server.state.lock().unwrap().failures = vec![conflict(); 99].into();
    let error = put(&*store, "other", Condition::IfAbsent).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn expired_credentials_are_denied_with_the_remedy() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().failures = [S3ErrorCode::ExpiredToken].into();
    let error = store.get("key", 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.message.contains("have expired: renew them"), "{error}");
}

#[tokio::test]
async fn the_probe_finds_out_a_store_that_ignores_conditions() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_write_conditions = true;
    let seen = store.probe("p/").await.unwrap();
    assert!(!seen.if_absent && !seen.if_match);
}

#[tokio::test]
async fn the_probe_finds_out_a_store_whose_if_match_never_holds() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().refuses_if_match = true;
    let seen = store.probe("p/").await.unwrap();
    assert!(seen.if_absent && !seen.if_match);
}

#[tokio::test]
async fn a_probe_that_may_not_write_says_so() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().failures = vec![S3ErrorCode::AccessDenied; 2].into();
    assert_eq!(store.probe("p/").await.unwrap_err().kind, Kind::Denied);
}

#[tokio::test]
async fn etags_are_compared_even_if_the_server_does_not() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_read_conditions = true;
    put(&*store, "key", Condition::Always).await.unwrap();
    let foreign = "00000000000000000000000000000000";
    for range in [0..2, 3..99, 50..60] {
        let error = store.read("key", range, foreign).await.unwrap_err();
        assert_eq!(error.kind, Kind::Changed, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_found_out() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    server.state.lock().unwrap().ignores_ranges = true;
    let etag = put(&*store, "key", Condition::Always).await.unwrap();
    assert_eq!(store.read("key", 0..2, &etag).await.unwrap(), "bo");
    assert_eq!(store.read("key", 2..4, &etag).await.unwrap_err().kind, Kind::Other);
}

#[tokio::test]
async fn what_is_too_large_for_one_write_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let body = Bytes::from(vec![0; MAX_PUT_BYTES + 1]);
    let error = store.put("key", body, PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge, "{error}");
    assert_eq!(server.state.lock().unwrap().requests, 0);
}

#[tokio::test]
async fn the_content_type_is_kept_and_bad_metadata_refused() {
    let server = Server::start().await;
    let store = open(server.config(), BUCKET);
    let options = PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
    store.put("key", Bytes::new(), options).await.unwrap();
    assert_eq!(server.content_type("key").as_deref(), Some("application/json"));

    let metadata = [("Not A Key".to_owned(), String::new())].into();
    let options = PutOptions { metadata, ..PutOptions::default() };
    let error = store.put("key", Bytes::new(), options).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_s3_is_an_error() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    async fn answer(text: &'static str) -> Error {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(text.as_bytes()).await;
            }
        });
        let config = Server { address, state: Default::default() }.config();
        let config = S3Config { max_attempts: 1, ..config };
        let reading = open(config, BUCKET).read("key", 0..10, "e").await;
        reading.unwrap_err()
    }
    let head = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-9/10\r\n";
    let broken: &str = format!("{head}content-length: 10\r\n\r\n012").leak();
    assert_eq!(answer(broken).await.kind, Kind::Unavailable);
    let short: &str = format!("{head}content-length: 3\r\n\r\n012").leak();
    assert_eq!(answer(short).await.kind, Kind::Unavailable);
    let error = answer("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>").await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    let error = answer("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(error.kind, Kind::Other, "{error}");
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await;
        let head = "HTTP/1.1 206 Partial Content\r\netag: \"e\"\r\ncontent-range: bytes 0-9/10\r\n\
                    content-length: 10\r\n\r\n012";
        let _ = socket.write_all(head.as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let config = Server { address, state: Default::default() }.config();
    let config = S3Config { read_timeout_seconds: 1, max_attempts: 1, ..config };
    let error = open(config, BUCKET).read("key", 0..10, "e").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.message.contains("stalled"), "{error}");
}
