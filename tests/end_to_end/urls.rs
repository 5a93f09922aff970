//! Recordings at URLs: presigned ones of the S3 server in jobs, and a web server's on the command line.

use std::{fs, path::Path, time::Duration};

use aws_sdk_s3::presigning::PresigningConfig;
use job::{BatchId, Format, Job, JobOptions, records_prefix};
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use queue::{Message, Queue};
use serde_json::Value;

use crate::{
    services::{BUCKET, Bucket, Services},
    support::{
        SENTENCE, Scriptorium, Server, TIMEOUT, free_port, get, models, read_json, speech, text_of,
        wait_for_answer,
    },
};

/// Returns a presigned URL of an object in the test's part of the bucket.
async fn presigned(services: &Services, bucket: &Bucket, name: &str, seconds: u64) -> String {
    let lifetime = PresigningConfig::expires_in(Duration::from_secs(seconds)).unwrap();
    let request = services.client().get_object().bucket(BUCKET).key(bucket.key(name));
    request.presigned(lifetime).await.unwrap().uri().to_owned()
}

/// Returns the part of a presigned URL that must be repeated nowhere.
fn signature(url: &str) -> &str {
    url.split("X-Amz-Signature=").nth(1).unwrap().split('&').next().unwrap()
}

fn job(services: &Services, batch: &BatchId, source: &str, name: &str) -> Job {
    let records = records_prefix(&services.uri("out/"), batch);
    let options = JobOptions {
        formats: [Format::Srt, Format::Aws, Format::Rttm].into(),
        ..JobOptions::default()
    };
    Job::new(batch.clone(), source, services.uri(&format!("out/{name}")), records, options)
}

/// Everything that was written: names and contents.
async fn written(bucket: &Bucket) -> String {
    let mut all = String::new();
    for name in bucket.names("out/").await {
        let body = bucket.get(&format!("out/{name}")).await;
        all += &format!("{name}\n{}\n", String::from_utf8_lossy(&body));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn presigned_urls_are_transcribed_and_their_signatures_repeated_nowhere() {
    let (Some(models), Some(services)) = (models(), Services::of_test("urls")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a talk.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let page = b"<!DOCTYPE html><html>Log in</html>".to_vec();
    bucket.put("in/page.mp3", page).await;
    let queue = services.queue().await;
    let connection =
        Connection::connect(&services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (exchange, listener) =
        (format!("{}.events", services.name), format!("{}-listener", services.name));
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(listener.as_str().into(), options, FieldTable::default()).await.unwrap();
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let (name, exchange) = (listener.as_str().into(), exchange.as_str().into());
    channel.queue_bind(name, exchange, "#".into(), options, arguments).await.unwrap();

    let good = presigned(&services, &bucket, "in/a talk.opus", 3600).await;
    let gone = presigned(&services, &bucket, "in/gone.mp3", 3600).await;
    let page = presigned(&services, &bucket, "in/page.mp3", 3600).await;
    let expired = presigned(&services, &bucket, "in/a talk.opus", 1).await;
    let forged = good.replace(signature(&good), &signature(&gone).replace('0', "1"));
    let elsewhere = good.replace(services.s3_address(), "169.254.169.254");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let batch = BatchId::generate();
    let cases = [
        ("good", &good, ""),
        ("gone", &gone, "source_missing"),
        ("page", &page, "audio_unrecognized"),
        ("expired", &expired, "source_expired"),
        ("forged", &forged, "source_denied"),
        ("elsewhere", &elsewhere, "source_not_allowed"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let port = free_port();
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__WORKER__SOURCES", &format!("{}/", services.endpoint))
        .with("SCRIPTORIUM__WORKER__OUTPUTS", &services.uri(""))
        .with("SCRIPTORIUM__WORKER__EVENTS", "confirmed")
        .with("SCRIPTORIUM__STORE__HTTP__ALLOW_PRIVATE", "true")
        .with("SCRIPTORIUM__TELEMETRY__LISTEN", &format!("127.0.0.1:{port}"))
        .with("SCRIPTORIUM__LOG__LEVEL", "debug");
    let mut worker = scriptorium.start(["worker"], &log);
    for (name, url, _) in cases {
        let job = job(&services, &batch, url, name);
        queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
    }
    let begin = std::time::Instant::now();
    let mut events: Vec<Value> = Vec::new();
    while events.len() < cases.len() {
        let options = BasicGetOptions { no_ack: true };
        match channel.basic_get(listener.as_str().into(), options).await.unwrap() {
            Some(got) => events.push(serde_json::from_slice(&got.delivery.data).unwrap()),
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        assert!(begin.elapsed() < TIMEOUT, "{events:?}\n{}", fs::read_to_string(&log).unwrap());
    }
    let transcript: Value = serde_json::from_slice(&bucket.get("out/good.json").await).unwrap();
    assert_eq!(text_of(&transcript), SENTENCE);
    let shown = format!("{}?…", good.split('?').next().unwrap());
    assert_eq!(transcript["source"]["uri"], shown);
    let meta = bucket.store.head(&bucket.key("in/a talk.opus")).await.unwrap();
    assert_eq!(transcript["source"]["etag"], meta.etag, "as when it is read by S3's own protocol");
    for (name, url, code) in cases.iter().filter(|(.., code)| !code.is_empty()) {
        let record = bucket.get(&format!("out/{name}.error.json")).await;
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["code"], *code, "{name}: {record}");
        let shown = format!("{}?…", url.split('?').next().unwrap());
        assert_eq!(record["source"], shown.as_str());
    }
    let record: Value = serde_json::from_slice(&bucket.get("out/page.error.json").await).unwrap();
    assert!(record["message"].as_str().unwrap().contains("HTML page"), "{record}");

    let metrics = get(&format!("http://127.0.0.1:{port}/metrics")).await.unwrap().1;
    assert!(metrics.contains("source_expired"), "{metrics}");
    let list = scriptorium.run(["dead", "list"]).expect_code(0);
    let id = list.stdout.split_whitespace().next().unwrap().to_owned();
    let show = scriptorium.run(["dead", "show", &id]).expect_code(0);
    let show_json = scriptorium.run(["dead", "show", &id, "--json"]).expect_code(0);
    // `submit` keeps the whole URL where it needs it to go on, and shows it nowhere.
    let submitted = presigned(&services, &bucket, "in/a talk.opus", 1800).await;
    let out = services.uri("submitted/");
    let submit = scriptorium.run(["submit", &submitted, "--out", &out, "--wait"]).expect_code(0);
    let batches = bucket.names("submitted/.scriptorium/").await;
    let of_batch = |name: &str| batches.iter().find(|key| key.contains(name)).unwrap().clone();
    let record = of_batch("/batch.json");
    let id = record.split('/').next().unwrap().to_owned();
    let results = scriptorium.run(["results", &id, "--out", &out, "--json"]).expect_code(0);
    let read = async |name: String| {
        String::from_utf8(bucket.get(&format!("submitted/.scriptorium/{name}")).await).unwrap()
    };
    let (record, part) = (read(record).await, read(of_batch("/manifest/")).await);
    let of_submission = bucket.get("submitted/a talk.opus.json").await;
    let of_submission = String::from_utf8(of_submission).unwrap();
    assert!(part.contains(signature(&submitted)), "{part}");
    for text in [&record, &of_submission, &results.stdout, &submit.stdout, &submit.stderr] {
        assert!(!text.contains(signature(&submitted)), "{text}");
    }
    assert!(record.contains("?…") && results.stdout.contains("?…"), "{record} {results:?}");

    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let said =
        [&list, &show, &show_json, &results].map(|ran| format!("{}{}", ran.stdout, ran.stderr));
    let log = fs::read_to_string(&log).unwrap();
    let everything = [
        ("what was written", written(&bucket).await),
        ("events", serde_json::to_string(&events).unwrap()),
        ("the log", log),
        ("metrics", metrics),
        ("what dead letters show", said.concat()),
    ];
    for (what, text) in &everything {
        for (name, url, _) in cases {
            assert!(!text.contains(signature(url)), "{what} has the signature of {name}");
        }
        assert!(!text.contains(signature(&submitted)), "{what}");
        assert!(!text.contains("X-Amz-Credential"), "{what} has a query");
    }
    // They are not left out altogether.
    assert!(everything[1].1.contains("?…") && everything[2].1.contains("?…"));
    queue.delete_queues().await.unwrap();
}

/// Starts Python's web server, which serves no ranges.
async fn web_server(folder: &Path) -> (Server, String) {
    let port = free_port();
    let arguments = ["-m", "http.server", "--bind", "127.0.0.1", "--directory"];
    let (directory, port_text) = (folder.to_str().unwrap(), port.to_string());
    let arguments = [&arguments[..], &[directory, &port_text]].concat();
    let server = Server::start(Path::new("python3"), &arguments, &folder.join("server.log"));
    let base = format!("http://127.0.0.1:{port}");
    wait_for_answer(&base, "the web server", |status, _| status == 200).await;
    (server, base)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_on_the_command_line_is_transcribed() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    fs::copy(speech("sentence.mp3"), folder.join("a talk.mp3")).unwrap();
    fs::copy(speech("sentence.m4a"), folder.join("b.m4a")).unwrap();
    fs::write(folder.join("login.mp3"), "<!doctype html><title>Log in</title>").unwrap();
    let (_server, base) = web_server(folder).await;
    let scriptorium = Scriptorium::new(&models);
    // A server without ranges, and a container in which the decoder seeks.
    for name in ["a%20talk.mp3", "b.m4a"] {
        let url = format!("{base}/{name}?token=s3cret");
        let ran = scriptorium.run(["transcribe", &url]).expect_code(0);
        assert_eq!(ran.stdout.trim(), SENTENCE, "{ran:?}");
        assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
    }
    let out = folder.join("out");
    let url = |name: &str| format!("{base}/{name}?token=s3cret");
    let arguments = [
        &url("a%20talk.mp3"),
        &url("missing.mp3"),
        &url("login.mp3"),
        "--out",
        out.to_str().unwrap(),
    ];
    let ran = scriptorium.run([&["transcribe"], &arguments[..]].concat()).expect_code(1);
    let transcript = read_json(&out.join("a talk.mp3.json"));
    assert_eq!(transcript["source"]["uri"], format!("{base}/a%20talk.mp3?…"));
    for mention in ["source_missing", "it looks like an HTML page", "/missing.mp3?…"] {
        assert!(ran.stderr.contains(mention), "{mention}: {}", ran.stderr);
    }
    assert!(!format!("{ran:?}{transcript}").contains("s3cret"), "{ran:?}");
    // The same version is not transcribed again.
    let again = scriptorium.run([&["transcribe"], &arguments[..], &["--json"]].concat());
    assert_eq!(again.json()["skipped"], 1, "{again:?}");
    // Nothing is written to a URL.
    let refused = scriptorium.run(["transcribe", &url("b.m4a"), "--out", &base]).expect_code(2);
    assert!(refused.stderr.contains("nothing can be written"), "{refused:?}");
}
