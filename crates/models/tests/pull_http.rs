//! Pulls from correct and from faulty servers.

mod support;

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use models::{Error, PullOptions};
use support::{Reply, Server, bytes, library, pull, unreachable, urls, verify};
use tempfile::tempdir;

const SIZE: usize = 300_000;

#[tokio::test]
async fn fetches_a_model_once() {
    let (root, weights, config) = (tempdir().unwrap(), bytes(1, SIZE), bytes(2, 10));
    let contents = [weights.clone(), config.clone()];
    let server = Server::start(move |request, _| {
        Reply::whole(&contents[usize::from(request.path == "/config.json")])
    });
    let library = library(
        root.path(),
        &[
            ("model.bin", &weights, urls(&[&server.url], "model.bin")),
            ("config.json", &config, urls(&[&server.url], "config.json")),
        ],
    );
    assert!(matches!(library.open("m"), Err(Error::NotInstalled { .. })));

    let seen = Mutex::new(Vec::new());
    let entry = &library.catalogue().models[0];
    let progress = |p: models::PullProgress<'_>| {
        seen.lock().unwrap().push((p.file.to_owned(), p.done, p.total));
    };
    let model = library.pull(entry, &progress).await.unwrap().model;

    assert_eq!(fs::read(model.path.join("model.bin")).unwrap(), weights);
    assert_eq!(library.open("m").unwrap(), model);
    verify(&library).unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|(file, done, _)| (file != "model.bin", *done)));
    assert_eq!(seen.last().unwrap(), &("config.json".to_owned(), 10, Some(10)));

    pull(&library).await.unwrap();
    assert_eq!(server.requests().len(), 2, "the second pull fetched nothing");
    let left: Vec<_> = fs::read_dir(library.root().join(".partial")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the lock file is left: {left:?}");
}

#[tokio::test]
async fn resumes_an_interrupted_transfer() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, before| {
        let reply = Reply::ranged(request, &body);
        if before < 5 { reply.cut(40_000) } else { reply }
    });
    let library =
        library(root.path(), &[("model.bin", &weights, urls(&[&server.url], "model.bin"))]);
    pull(&library).await.unwrap();
    let offsets = [None, Some(40_000), Some(80_000), Some(120_000), Some(160_000), Some(200_000)];
    assert_eq!(server.offsets(), offsets);
    verify(&library).unwrap();
}

#[tokio::test]
async fn a_later_pull_resumes_from_another_server() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let broken = Server::start(move |_, before| match before {
        0 => Reply::whole(&body).cut(100_000),
        _ => Reply::status("503 Service Unavailable"),
    });
    let first = library(root.path(), &[("model.bin", &weights, urls(&[&broken.url], "model.bin"))]);
    let error = pull(&first).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("503"), "{error}");
    assert!(matches!(first.open("m"), Err(Error::NotInstalled { .. })), "all or nothing");

    let body = weights.clone();
    let good = Server::start(move |request, _| Reply::ranged(request, &body));
    let second = library(root.path(), &[("model.bin", &weights, urls(&[&good.url], "model.bin"))]);
    pull(&second).await.unwrap();
    assert_eq!(good.offsets(), [Some(100_000)]);
    verify(&second).unwrap();
}

#[tokio::test]
async fn accepts_a_server_that_ignores_ranges() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |_, before| match before {
        0 => Reply::whole(&body).cut(100_000),
        _ => Reply::whole(&body),
    });
    let library =
        library(root.path(), &[("model.bin", &weights, urls(&[&server.url], "model.bin"))]);
    pull(&library).await.unwrap();
    assert_eq!(server.offsets(), [None, Some(100_000)]);
    verify(&library).unwrap();
}

#[tokio::test]
async fn starts_again_after_a_wrong_range() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, before| match before {
        0 => Reply::whole(&body).cut(100_000),
        1 => Reply::ranged(&support::Request { from: Some(50), ..request.clone() }, &body),
        _ => Reply::ranged(request, &body),
    });
    let library =
        library(root.path(), &[("model.bin", &weights, urls(&[&server.url], "model.bin"))]);
    pull(&library).await.unwrap();
    assert_eq!(server.offsets(), [None, Some(100_000), None]);
    verify(&library).unwrap();
}

#[tokio::test]
async fn a_wrong_part_of_an_earlier_pull_costs_one_transfer() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, _| Reply::ranged(request, &body));
    let library =
        library(root.path(), &[("model.bin", &weights, urls(&[&server.url], "model.bin"))]);
    let parts = library.root().join(".partial/m/parts");
    for (stale, offsets) in [
        (bytes(7, 1000), vec![Some(1000), None]),
        (bytes(7, SIZE), vec![Some(1000), None, None]),
        (bytes(7, SIZE + 1), vec![Some(1000), None, None, None]),
    ] {
        fs::create_dir_all(&parts).unwrap();
        fs::write(parts.join("model.bin"), stale).unwrap();
        pull(&library).await.unwrap();
        assert_eq!(server.offsets(), offsets);
        verify(&library).unwrap();
        fs::remove_dir_all(library.root().join("m")).unwrap();
    }
}

#[tokio::test]
async fn tries_the_next_source() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let (body, other) = (weights.clone(), bytes(2, SIZE));
    let missing = Server::start(|_, _| Reply::status("404 Not Found"));
    let wrong = Server::start(move |request, _| Reply::ranged(request, &other));
    let page = Server::start(|_, _| Reply::whole(b"<html>Please log in</html>"));
    let endless = Server::start(|_, _| Reply {
        status: "200 OK",
        body: bytes(3, 4 * SIZE),
        ..Reply::default()
    });
    let good = Server::start(move |request, _| Reply::ranged(request, &body));
    let closed = unreachable();
    let bad = [&closed, &missing.url, &wrong.url, &page.url, &endless.url].map(String::as_str);

    let hopeless = library(root.path(), &[("model.bin", &weights, urls(&bad, "model.bin"))]);
    let error = pull(&hopeless).await.unwrap_err();
    let Error::Fetch { attempts, .. } = &error else { panic!("{error}") };
    let causes = ["refused", "404", "wrong SHA-256", "offers 26 bytes", "more than the 300000"];
    assert_eq!(attempts.len(), causes.len());
    for ((attempt, server), cause) in attempts.iter().zip(bad).zip(causes) {
        assert!(attempt.starts_with(server) && attempt.contains(cause), "{attempt}");
    }
    assert!(!hopeless.root().join("m").exists());

    let all = [&bad[..], &[&good.url]].concat();
    let library = library(root.path(), &[("model.bin", &weights, urls(&all, "model.bin"))]);
    pull(&library).await.unwrap();
    assert_eq!(good.offsets(), [None], "the wrong files were not kept");
    verify(&library).unwrap();
}

#[tokio::test]
async fn follows_redirects_with_the_range() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let storage = Server::start(move |request, before| {
        let reply = Reply::ranged(request, &body);
        if before == 0 { reply.cut(1234) } else { reply }
    });
    let target = format!("Location: {}/blob", storage.url);
    let hub = Server::start(move |_, _| Reply {
        headers: vec![target.clone()],
        ..Reply::status("302 Found")
    });
    let library = library(root.path(), &[("model.bin", &weights, urls(&[&hub.url], "model.bin"))]);
    pull(&library).await.unwrap();
    assert_eq!(storage.offsets(), [None, Some(1234)]);
    verify(&library).unwrap();
}

#[tokio::test]
async fn refuses_endless_redirects() {
    let root = tempdir().unwrap();
    let server = Server::start(|_, _| Reply {
        headers: vec!["Location: /again".into()],
        ..Reply::status("302 Found")
    });
    let library = library(root.path(), &[("model.bin", b"x", urls(&[&server.url], "model.bin"))]);
    let error = pull(&library).await.unwrap_err();
    assert!(error.to_string().contains("redirect"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn gives_up_a_stalled_transfer() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, before| Reply {
        hang: true,
        ..Reply::ranged(request, &body).cut(if before == 0 { 5000 } else { 0 })
    });
    let library =
        library(root.path(), &[("model.bin", &weights, urls(&[&server.url], "model.bin"))])
            .with_pull_options(PullOptions {
                stall_timeout: Duration::from_millis(100),
                retry_delay: Duration::from_millis(1),
                ..PullOptions::default()
            });
    let begun = Instant::now();
    let error = pull(&library).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(error.is_transient(), "{error}");
    assert_eq!(server.offsets(), [None, Some(5000), Some(5000), Some(5000)]);
}

#[tokio::test]
async fn an_unreachable_host_is_tried_once() {
    let (root, closed) = (tempdir().unwrap(), unreachable());
    let server = Server::start(|_, _| Reply::whole(b"x"));
    // The second file has only the closed source, so the error shows its cause.
    let library = library(
        root.path(),
        &[
            ("config.json", b"x", urls(&[&closed, &server.url], "config.json")),
            ("model.bin", b"y", urls(&[&closed], "model.bin")),
        ],
    );
    let error = pull(&library).await.unwrap_err();
    assert!(error.to_string().contains("could not be reached before"), "{error}");
    assert!(error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_pulls_fetch_a_model_once() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, _| {
        std::thread::sleep(Duration::from_millis(100));
        Reply::ranged(request, &body)
    });
    let files = [("model.bin", &weights[..], urls(&[&server.url], "model.bin"))];
    let pulls = (0..4).map(|_| {
        let library = library(root.path(), &files);
        tokio::spawn(async move { pull(&library).await })
    });
    for pull in futures::future::join_all(pulls).await {
        pull.unwrap().unwrap();
    }
    assert_eq!(server.offsets(), [None]);
    verify(&library(root.path(), &files)).unwrap();
}

#[tokio::test]
async fn repairs_a_model_by_fetching_only_the_wrong_files() {
    let (root, weights, config) = (tempdir().unwrap(), bytes(1, SIZE), bytes(2, 10));
    let contents = [weights.clone(), config.clone()];
    let server = Server::start(move |request, _| {
        Reply::whole(&contents[usize::from(request.path == "/config.json")])
    });
    let library = library(
        root.path(),
        &[
            ("model.bin", &weights, urls(&[&server.url], "model.bin")),
            ("config.json", &config, urls(&[&server.url], "config.json")),
        ],
    );
    let model = pull(&library).await.unwrap().path;
    fs::write(model.join("config.json"), bytes(3, 10)).unwrap();
    assert!(library.open("m").is_ok(), "opening checks sizes only");
    let error = verify(&library).unwrap_err().to_string();
    for part in ["config.json", &support::sha256(&config), &support::sha256(&bytes(3, 10))] {
        assert!(error.contains(part), "{error}");
    }

    pull(&library).await.unwrap();
    verify(&library).unwrap();
    assert_eq!(
        server.requests().iter().filter(|request| request.path == "/config.json").count(),
        2
    );
    assert_eq!(server.requests().len(), 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_ends_the_pull() {
    let (root, weights) = (tempdir().unwrap(), bytes(1, SIZE));
    let body = weights.clone();
    let server = Server::start(move |request, _| Reply::ranged(request, &body));
    let sources = urls(&[&server.url, &server.url], "model.bin");
    let library = library(root.path(), &[("model.bin", &weights, sources)]);
    let parts = library.root().join(".partial/m/parts");
    fs::create_dir_all(&parts).unwrap();
    // Each write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", parts.join("model.bin")).unwrap();
    let error = pull(&library).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_unwritable_library_is_named() {
    let root = tempdir().unwrap();
    fs::write(root.path().join("library"), "a file").unwrap();
    let library =
        library(root.path(), &[("model.bin", b"x", urls(&[&unreachable()], "model.bin"))]);
    let error = pull(&library).await.unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("library"), "{error}");
}
