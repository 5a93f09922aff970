//! Pulls from servers with the interfaces of ModelScope and Hugging Face, which mirrors redirect to.

#![allow(clippy::unwrap_used, reason = "these are tests, though clippy sees helpers")]

mod support;

use std::fs;
use std::time::Duration;

use models::{Catalogue, Error, Library, Mirrors, PullOptions, PullProgress, Pulled};
use support::{Reply, Request, Server, bytes, sha256, unreachable};
use tempfile::tempdir;

const MVN: &[u8] = b"<Nnet>\n<AddShift> 1 1\n<LearnRateCoef> 0 [ 1 ]\n";

/// Returns a library that uses `hub` as the mirror of both hubs and has one model with these files.
fn library(root: &std::path::Path, hub: &str, source: &str, files: &str) -> Library {
    let catalogue = Catalogue::parse(&format!(
        "[[model]]\nname = 'm'\nfamily = 'paraformer'\nlicence = 'MIT'\nlanguages = ['zh']\n\
         description = 'for tests'\nsources = [{source}]\nfiles = [{files}]"
    ))
    .unwrap();
    let hubs = ["https://www.modelscope.cn", "https://huggingface.co"];
    let mirrors = Mirrors::new(hubs.map(|from| (from.to_owned(), hub.to_owned()))).unwrap();
    Library::new(root.join("library"), catalogue).with_pull_options(PullOptions {
        stall_timeout: Duration::from_millis(500),
        retry_delay: Duration::from_millis(1),
        mirrors,
        ..PullOptions::default()
    })
}

const MODELSCOPE: &str = "{ modelscope = { repository = 'iic/model-onnx', revision = 'v1.2' } }";
const HUGGING_FACE: &str = "{ huggingface = { repository = 'funasr/model', revision = 'main' } }";

async fn pull(library: &Library) -> Result<Pulled, Error> {
    library.pull(&library.catalogue().models[0], &|_: PullProgress<'_>| ()).await
}

fn verify(library: &Library) -> Result<(), Error> {
    library.verify(&library.catalogue().models[0])
}

/// Responds as ModelScope does: the file's name is a parameter, the response has an entity tag, and a
/// missing file is a 404 with a text.
fn modelscope(request: &Request, files: &[(&str, Vec<u8>)]) -> Reply {
    let query =
        request.path.strip_prefix("/api/v1/models/iic/model-onnx/repo?Revision=v1.2&FilePath=");
    let name = query.unwrap_or("nothing");
    match files.iter().find(|(file, _)| *file == name) {
        Some((_, body)) => tagged(request, body),
        None => Reply {
            status: "404 Not Found",
            ..Reply::whole(b"{\"Code\":10010205001,\"Message\":\"not found\"}")
        },
    }
}

/// Responds with a file and its entity tag. Sends a range only if the requested tag is still valid.
fn tagged(request: &Request, body: &[u8]) -> Reply {
    let tag = format!("\"{}\"", &sha256(body)[..16]);
    let stale = request.if_range.as_ref().is_some_and(|asked| *asked != tag);
    let from = if stale { None } else { request.from };
    let mut reply = Reply::ranged(&Request { from, ..request.clone() }, body);
    reply.headers.push(format!("ETag: {tag}"));
    reply
}

#[tokio::test]
async fn the_first_pull_from_modelscope_pins_checksums() {
    let root = tempdir().unwrap();
    let weights = bytes(1, 300_000);
    let files = [("weights.bin", weights.clone()), ("am.mvn", MVN.to_vec())];
    let server = Server::start(move |request, _| modelscope(request, &files));
    let entry = "{ path = 'weights.bin' }, { path = 'am.mvn' }, \
                 { path = 'seg_dict', optional = true }";
    let library = library(root.path(), &server.url, MODELSCOPE, entry);
    assert_eq!(library.catalogue().models[0].size(), None);

    let pulled = pull(&library).await.unwrap();
    assert_eq!(fs::read(pulled.model.path.join("weights.bin")).unwrap(), weights);
    assert!(!pulled.model.path.join("seg_dict").exists());
    let pinned: Vec<_> = pulled.pinned.iter().map(|pin| (pin.path.as_str(), pin.size)).collect();
    assert_eq!(pinned, [("weights.bin", 300_000), ("am.mvn", MVN.len() as u64)]);
    assert_eq!(pulled.pinned[0].sha256, sha256(&weights));
    assert_eq!(pulled.pinned[0].source, "ModelScope iic/model-onnx (v1.2)");
    assert_eq!(library.pins(&library.catalogue().models[0]).unwrap(), pulled.pinned);
    verify(&library).unwrap();
    assert_eq!(library.open("m").unwrap(), pulled.model);

    let again = pull(&library).await.unwrap();
    assert_eq!(again.pinned, []);
    let requests =
        server.requests().iter().filter(|request| !request.path.contains("seg_dict")).count();
    assert_eq!(requests, 2, "files that match their pins are not fetched again");
    fs::write(pulled.model.path.join("am.mvn"), "damaged").unwrap();
    assert!(matches!(verify(&library), Err(Error::Damaged { .. })));
    assert!(library.open("m").is_err(), "opening checks a pinned size");
    pull(&library).await.unwrap();
    verify(&library).unwrap();
}

#[tokio::test]
async fn a_file_that_differs_from_its_pin_is_refused() {
    let root = tempdir().unwrap();
    let body = std::sync::Arc::new(std::sync::Mutex::new(bytes(1, 50_000)));
    let served = std::sync::Arc::clone(&body);
    let server = Server::start(move |request, _| {
        modelscope(request, &[("weights.bin", served.lock().unwrap().clone())])
    });
    let library = library(root.path(), &server.url, MODELSCOPE, "{ path = 'weights.bin' }");
    let first = pull(&library).await.unwrap();
    for (changed, cause) in
        [(bytes(2, 50_000), "wrong SHA-256"), (bytes(1, 50_001), "offers 50001 bytes where 50000")]
    {
        *body.lock().unwrap() = changed;
        fs::remove_dir_all(library.root().join("m")).unwrap();
        let error = pull(&library).await.unwrap_err();
        let text = error.to_string();
        for part in [cause, "an earlier pull pinned", ".pins/m.toml"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!error.is_transient() && !library.root().join("m").exists());
        fs::create_dir(library.root().join("m")).unwrap();
    }
    fs::remove_file(library.root().join(".pins/m.toml")).unwrap();
    let second = pull(&library).await.unwrap();
    assert_ne!(second.pinned, first.pinned, "without the record, the new file is pinned");
    verify(&library).unwrap();
}

#[tokio::test]
async fn hugging_face_redirects_to_a_host_that_resumes() {
    let root = tempdir().unwrap();
    let weights = bytes(1, 200_000);
    let body = weights.clone();
    let storage = Server::start(move |request, before| {
        let reply = tagged(request, &body);
        if before == 0 { reply.cut(70_000) } else { reply }
    });
    let target = storage.url.clone();
    let hub = Server::start(move |request, _| {
        // First a relative address, then one of another host, as the hub does.
        let location = match request.path.as_str() {
            "/funasr/model/resolve/main/weights.bin" => "/api/resolve-cache/weights.bin".to_owned(),
            "/api/resolve-cache/weights.bin" => format!("{target}/blob?signature=a%2Fb"),
            _ => return Reply::status("404 Not Found"),
        };
        let headers = vec![format!("Location: {location}")];
        Reply { headers, ..Reply::status("302 Found") }
    });
    let library = library(root.path(), &hub.url, HUGGING_FACE, "{ path = 'weights.bin' }");
    let pulled = pull(&library).await.unwrap();
    assert_eq!(pulled.pinned[0].sha256, sha256(&weights));
    assert_eq!(storage.offsets(), [None, Some(70_000)]);
    assert!(storage.requests()[1].if_range.is_some(), "without a checksum, the tag is required");
    assert_eq!(storage.requests()[0].path, "/blob?signature=a%2Fb");
}

#[tokio::test]
async fn without_a_checksum_only_the_same_file_is_resumed() {
    let (old, new) = (bytes(1, 100_000), bytes(2, 100_000));
    for tagged_replies in [true, false] {
        let root = tempdir().unwrap();
        let (first, second) = (old.clone(), new.clone());
        let server = Server::start(move |request, before| {
            let (body, cut) = if before == 0 { (&first, true) } else { (&second, false) };
            let mut reply = tagged(request, body);
            if !tagged_replies {
                reply.headers.retain(|header| !header.starts_with("ETag"));
            }
            if cut { reply.cut(40_000) } else { reply }
        });
        let library = library(root.path(), &server.url, HUGGING_FACE, "{ path = 'weights.bin' }");
        let pulled = pull(&library).await.unwrap();
        assert_eq!(fs::read(pulled.model.path.join("weights.bin")).unwrap(), new);
        let offset = tagged_replies.then_some(40_000);
        assert_eq!(server.offsets(), [None, offset], "resumed only with a tag");
    }
}

#[tokio::test]
async fn a_later_pull_resumes_a_file_without_checksum() {
    let root = tempdir().unwrap();
    let weights = bytes(1, 100_000);
    let body = weights.clone();
    let server = Server::start(move |request, before| match before {
        0 => tagged(request, &body).cut(60_000),
        1..4 => Reply::status("503 Service Unavailable"),
        _ => tagged(request, &body),
    });
    let library = library(root.path(), &server.url, HUGGING_FACE, "{ path = 'weights.bin' }");
    assert!(pull(&library).await.unwrap_err().is_transient());
    let pulled = pull(&library).await.unwrap();
    assert_eq!(fs::read(pulled.model.path.join("weights.bin")).unwrap(), weights);
    assert_eq!(*server.offsets().last().unwrap(), Some(60_000));
    let left: Vec<_> = fs::read_dir(pulled.model.path).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn content_that_does_not_fit_the_name_is_not_pinned() {
    let page = Reply {
        headers: vec!["Content-Type: text/html; charset=utf-8".into()],
        ..Reply::whole(b"<html>Please log in</html>")
    };
    let endless = Reply { status: "200 OK", body: bytes(1, 1000), ..Reply::default() };
    let pointer = Reply::whole(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
    for (file, reply, cause) in [
        ("am.mvn", page, "a web page"),
        ("am.mvn", endless, "does not say how long"),
        ("model.onnx", pointer, "git lfs pull"),
        ("model.onnx", Reply::whole(b"short"), "not an ONNX model"),
        ("tokens.json", Reply::whole(b"{"), "not JSON"),
        ("config.yaml", Reply::whole(b"a: [}"), "not YAML"),
        ("am.mvn", Reply::whole(b"x"), "not a Kaldi file"),
        ("seg_dict", Reply::whole(b""), "empty"),
    ] {
        let root = tempdir().unwrap();
        let server = Server::start(move |_, _| reply.clone());
        let files = format!("{{ path = '{file}' }}");
        let library = library(root.path(), &server.url, MODELSCOPE, &files);
        let error = pull(&library).await.unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(library.pins(&library.catalogue().models[0]).unwrap(), []);
        assert!(!library.root().join("m").exists());
    }
}

#[tokio::test]
async fn a_missing_file_is_an_error_unless_it_is_optional() {
    let root = tempdir().unwrap();
    let server = Server::start(|request, _| modelscope(request, &[("am.mvn", MVN.to_vec())]));
    let files = "{ path = 'am.mvn' }, { path = 'tokens.json' }";
    let needed = library(root.path(), &server.url, MODELSCOPE, files);
    let error = pull(&needed).await.unwrap_err();
    assert!(error.to_string().contains("tokens.json") && error.to_string().contains("404"));
    assert!(!error.is_transient());
    assert!(matches!(needed.open("m"), Err(Error::NotInstalled { .. })), "whole or not at all");

    // A hub that does not answer does not prove that the file is missing.
    let optional = "{ path = 'am.mvn', optional = true }";
    let root = tempdir().unwrap();
    let unreachable = library(root.path(), &unreachable(), MODELSCOPE, optional);
    assert!(pull(&unreachable).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_known_checksum_needs_neither_size_nor_pin() {
    let root = tempdir().unwrap();
    let weights = bytes(1, 10_000);
    let body = weights.clone();
    let server = Server::start(move |request, before| match before {
        0 => Reply::ranged(request, &body).cut(4000),
        1 => Reply::whole(&bytes(2, 10_000)),
        _ => Reply::ranged(request, &body),
    });
    let files = format!("{{ path = 'weights.bin', sha256 = '{}' }}", sha256(&weights));
    let sources = [HUGGING_FACE, MODELSCOPE].join(", ");
    let library = library(root.path(), &server.url, &sources, &files);
    let pulled = pull(&library).await.unwrap();
    assert_eq!(pulled.pinned, []);
    assert_eq!(fs::read(pulled.model.path.join("weights.bin")).unwrap(), weights);
    assert_eq!(server.requests().len(), 3, "the wrong file of the first hub was not kept");
    verify(&library).unwrap();
}

#[tokio::test]
async fn a_model_copied_by_hand_opens_but_cannot_be_verified() {
    let root = tempdir().unwrap();
    let library = library(root.path(), &unreachable(), MODELSCOPE, "{ path = 'am.mvn' }");
    fs::create_dir_all(library.root().join("m")).unwrap();
    fs::write(library.root().join("m/am.mvn"), MVN).unwrap();
    library.open("m").unwrap();
    let error = verify(&library).unwrap_err();
    assert!(matches!(error, Error::Unverifiable { .. }), "{error}");
    assert!(error.to_string().contains("models pull m"), "{error}");
    fs::create_dir_all(library.root().join(".pins")).unwrap();
    fs::write(library.root().join(".pins/m.toml"), "torn").unwrap();
    let error = library.open("m").unwrap_err();
    assert!(matches!(error, Error::Pins { .. }) && error.to_string().contains("m.toml"), "{error}");
}
