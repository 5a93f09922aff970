//! Uploads become transcripts: radosgw notifies RabbitMQ of objects, the bridge makes jobs of them.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use lapin::{BasicProperties, Connection, ConnectionProperties, options::BasicPublishOptions};
use queue::Queue;
use serde_json::Value;

use crate::{
    services::{BUCKET, Services},
    support::{
        Scriptorium, TIMEOUT, free_port, models, speech, text_of, wait_for_answer, wait_for_log,
    },
};

/// The gateway publishes to one exchange of a broker, so all runs share it.
const EXCHANGE: &str = "scriptorium-notifications";

/// Writes the configuration of a bridge, and returns its path.
pub(crate) fn configuration(
    directory: &std::path::Path,
    services: &Services,
    source: &str,
) -> String {
    let path = directory.join("config.toml");
    let text = format!(
        "[bridge]\n{source}\n\n[[bridge.rules]]\nsource = \"{}\"\noutput = \"{}\"\nname = \
         \"{{date}}/{{path}}\"\nlane = \"urgent\"\noptions = {{ formats = [\"txt\"] }}\n",
        services.uri("in/"),
        services.uri("out/"),
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Calls the gateway's API of topics, which the SDK of S3 does not have.
fn create_topic(services: &Services, name: &str) -> String {
    let endpoint = format!("push-endpoint={}", services.amqp_url);
    let exchange = format!("amqp-exchange={EXCHANGE}");
    let name = format!("Name={name}");
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--aws-sigv4",
            "aws:amz:us-east-1:sns",
        ])
        // The gateway takes the broker's password only from a proxy that speaks TLS.
        .args(["--header", "X-Forwarded-Proto: https"])
        .args(["--user", &services.credentials(), "--data-urlencode", "Action=CreateTopic"])
        .args(["--data-urlencode", &name, "--data-urlencode", &endpoint])
        .args(["--data-urlencode", &exchange, "--data-urlencode", "amqp-ack-level=broker"])
        .arg(&services.endpoint)
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let arn = answer.split("<TopicArn>").nth(1).and_then(|rest| rest.split('<').next());
    arn.unwrap_or_else(|| panic!("{answer} {}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

async fn wait_for_names(
    bucket: &crate::services::Bucket,
    prefix: &str,
    count: usize,
) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let mut names = bucket.names(prefix).await;
        names.retain(|name| !name.starts_with(".scriptorium/"));
        if names.len() >= count {
            return names;
        }
        assert!(begin.elapsed() < TIMEOUT, "{names:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn fleet(services: &Services, models: &std::path::Path) -> Scriptorium {
    services.scriptorium(models)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_a_transcript() {
    let (Some(models), Some(services)) = (models(), Services::of_test("uploads")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let topic = services.name.replace('-', "");
    let source = format!("exchange = \"{EXCHANGE}\"\nrouting_key = \"{topic}\"");
    let config = configuration(directory.path(), &services, &source);
    let admin = format!("127.0.0.1:{}", free_port());
    let scriptorium = fleet(&services, &models);
    let log = directory.path().join("bridge.log");
    let mut bridge = fleet(&services, &models)
        .with("SCRIPTORIUM__TELEMETRY__LISTEN", &admin)
        .start(["bridge", "--config", &config], &log);
    // The exchange must exist before the gateway publishes to it.
    wait_for_log(&log, "waiting for uploads").await;
    let topic = create_topic(&services, &topic);
    services.notify(&topic, "in/").await;

    let worker_log = directory.path().join("worker.log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &worker_log);
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for name in ["in/a/b c+d é.opus", "in/second.opus", "in/notes.txt", "elsewhere/x.opus"] {
        bucket.put(name, sentence.clone()).await;
    }
    let names = wait_for_names(&bucket, "out/", 4).await;
    let date = names[0].split('/').next().unwrap().to_owned();
    let expected =
        ["a/b c+d é.opus.json", "a/b c+d é.opus.txt", "second.opus.json", "second.opus.txt"];
    assert_eq!(names, expected.map(|name| format!("{date}/{name}")));
    let transcript: Value =
        serde_json::from_slice(&bucket.get(&format!("out/{date}/second.opus.json")).await).unwrap();
    assert!(!text_of(&transcript).is_empty());

    wait_for_answer(&format!("http://{admin}/readyz"), "ready", |status, _| status == 200).await;
    let metrics = format!("http://{admin}/metrics");
    let counted = |body: &str, outcome: &str, count: u32| {
        body.contains(&format!("scriptorium_uploads_total{{outcome=\"{outcome}\"}} {count}\n"))
    };
    wait_for_answer(&metrics, "counted", |_, body| {
        counted(body, "submitted", 2) && counted(body, "ignored", 1) && counted(body, "invalid", 0)
    })
    .await;

    // The batch of the day can be looked at.
    let records = bucket.names("out/.scriptorium/").await;
    let batch = records[0].split('/').next().unwrap();
    let out = services.uri("out/");
    let status = scriptorium.run(["status", batch, "--out", &out, "--json"]).json();
    assert_eq!((&status["done"], &status["failed"]), (&2.into(), &0.into()), "{status}");
    let results = scriptorium.run(["results", batch, "--out", &out]).expect_code(0).stdout;
    assert_eq!(results.lines().count(), 2, "there is no manifest: {results}");
    for process in [&mut bridge, &mut worker] {
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
    }
    services.queue().await.delete_queues().await.unwrap();
}

/// What is no notification becomes a dead letter, and one that comes twice makes one transcript.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_may_be_broken_or_come_twice() {
    let (Some(models), Some(services)) = (models(), Services::of_test("twice")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), &services, "");
    let scriptorium = fleet(&services, &models);
    let log = directory.path().join("log");
    let mut bridge = scriptorium.start(["bridge", "--config", &config], &log);
    wait_for_log(&log, "waiting for uploads").await;

    let connection =
        Connection::connect(&services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let key = bucket.key("in/a.opus");
    let notification = serde_json::json!({ "Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-26T04:25:21.000Z",
        "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } }
    }]})
    .to_string();
    for body in [notification.as_str(), "{}", &notification] {
        let queue = format!("{}.uploads", services.name);
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        let published =
            channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
        published.await.unwrap();
    }
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    wait_for_names(&bucket, "out/", 2).await;
    let queue = services.queue().await;
    let begin = Instant::now();
    while queue.depth().await.unwrap() != (queue::QueueDepth { dead: 1, ..Default::default() }) {
        assert!(begin.elapsed() < TIMEOUT, "{:?}", queue.depth().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let letters = queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters[0].reason.code, "notification_invalid");
    let done = bucket.names("out/.scriptorium/").await;
    assert_eq!(done.iter().filter(|name| name.contains("/done/")).count(), 1, "{done:?}");
    for process in [&mut bridge, &mut worker] {
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
    }
    queue.delete_queues().await.unwrap();
}

/// A rule that cannot work is a mistake in the configuration.
#[test]
fn wrong_rules_are_named() {
    let (directory, scriptorium) = crate::support::without_models();
    let path = directory.path().join("config.toml");
    fs::write(&path, "[[bridge.rules]]\nsource = \"calls\"\noutput = \"s3://texts/\"\n").unwrap();
    let ran = scriptorium.run(["bridge", "--config", path.to_str().unwrap()]).expect_code(2);
    assert!(ran.stderr.contains("bridge.rules, rule 1: source"), "{ran:?}");
    let none = scriptorium.run(["bridge"]).expect_code(2);
    assert!(none.stderr.contains("bridge.rules: there are none"), "{none:?}");
}
