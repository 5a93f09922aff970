//! An upgrade with jobs in flight: a batch that a former version left, as its records and messages were, is
//! finished by this one.
//!
//! `tests/fixtures/releases` has a file for each version. That of a release is written once, by the ignored
//! test, and never changed: see RELEASING.md.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions},
    types::{AMQPValue, FieldTable},
};
use queue::{Destination, Lane, Origin, Queue, QueueDepth};
use serde::{Deserialize, Serialize};

use crate::{
    services::{Bucket, Services},
    support::{TIMEOUT, fixture, models, speech},
};

/// Name of the queues and the prefix in the bucket, which is the same in all runs: ids of jobs depend on it.
const NAME: &str = "upgrade";

/// What a version leaves in the middle of a batch of four: one job is done, one has failed, one is queued, and
/// one was given back after a failed attempt.
#[derive(Serialize, Deserialize)]
struct Left {
    batch: String,
    /// The objects below the output, without the transcripts of recordings.
    objects: BTreeMap<String, String>,
    messages: Vec<LeftMessage>,
}

#[derive(Serialize, Deserialize)]
struct LeftMessage {
    /// The queue, without its prefix.
    queue: String,
    id: String,
    body: String,
    texts: BTreeMap<String, String>,
    integers: BTreeMap<String, i64>,
}

fn releases() -> PathBuf {
    fixture("releases")
}

/// Returns models, services with the fixed name, and the bucket with the recordings.
async fn fixed() -> Option<(PathBuf, Services, Bucket)> {
    let (models, mut services) = (models()?, Services::of_test(NAME)?);
    NAME.clone_into(&mut services.name);
    // Of a run that failed.
    services.queue().await.delete_queues().await.unwrap();
    let bucket = services.bucket().await;
    begin_anew(&bucket).await;
    Some((models, services, bucket))
}

/// Deletes what is below the output, and uploads the recordings: `failed.wav` is not one.
async fn begin_anew(bucket: &Bucket) {
    for name in bucket.names("out/").await {
        bucket.store.delete(&bucket.key(&format!("out/{name}"))).await.unwrap();
    }
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for name in ["done", "queued", "returned"] {
        bucket.put(&format!("in/{name}.opus"), sentence.clone()).await;
    }
    bucket.put("in/failed.wav", b"RIFF".to_vec()).await;
}

async fn publish(services: &Services, message: &LeftMessage) {
    let connection =
        Connection::connect(&services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut headers = FieldTable::default();
    for (name, text) in &message.texts {
        headers.insert(name.as_str().into(), AMQPValue::LongString(text.as_str().into()));
    }
    for (name, number) in &message.integers {
        headers.insert(name.as_str().into(), AMQPValue::LongLongInt(*number));
    }
    let properties = BasicProperties::default()
        .with_message_id(message.id.as_str().into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let queue = format!("{}.{}", services.name, message.queue);
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), queue.into(), options, message.body.as_bytes(), properties)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn this_version_finishes_what_former_versions_left() {
    let Some((models, services, bucket)) = fixed().await else { return };
    let queue = services.queue().await;
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let mut versions = 0;
    for file in fs::read_dir(releases()).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        let left: Left = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (name, text) in &left.objects {
            bucket.put(name, text.clone().into_bytes()).await;
        }
        let counts = |status: &serde_json::Value| {
            ["jobs", "done", "failed", "queued"].map(|name| status[name].as_u64().unwrap())
        };
        let out = services.uri("out/");
        let status = ["status", &left.batch, "--out", &out, "--json"];
        assert_eq!(counts(&scriptorium.run(status).json()), [4, 1, 1, 2]);

        assert_eq!(queue.depth().await.unwrap(), QueueDepth::default());
        for message in &left.messages {
            publish(&services, message).await;
        }
        let mut worker =
            scriptorium.start(["worker", "--threads", "1"], &directory.path().join("log"));
        let wait = ["status", &left.batch, "--out", &out, "--wait", "--json"];
        let ended = scriptorium.run(wait).expect_code(1).json();
        assert_eq!(counts(&ended), [4, 3, 1, 0], "{ended}");

        // What failed is submitted again by this version.
        bucket.put("in/failed.wav", fs::read(speech("sentence.wav")).unwrap()).await;
        let failed = services.uri("in/failed.wav");
        let again = ["submit", &failed, "--out", &out, "--batch", &left.batch, "--wait", "--json"];
        let ended = scriptorium.run(again).expect_code(0).json();
        assert_eq!(counts(&ended), [4, 4, 0, 0], "{ended}");
        let results = scriptorium.run(["results", &left.batch, "--out", &out]).expect_code(0);
        assert_eq!(results.stdout.lines().count(), 4, "{}", results.stdout);
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
        begin_anew(&bucket).await;
        versions += 1;
    }
    assert!(versions > 0, "no files in {}", releases().display());
    queue.delete_queues().await.unwrap();
}

/// Writes the file of this version, with a real worker. Needs `make services`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a fixture; run once for each release"]
async fn freeze() {
    let Some((models, services, bucket)) = fixed().await else { return };
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let out = services.uri("out/");
    let [done, failed, queued, returned] =
        ["done.opus", "failed.wav", "queued.opus", "returned.opus"]
            .map(|name| services.uri(&format!("in/{name}")));
    let submit = ["submit", &done, &failed, "--out", &out, "--json"];
    let batch = scriptorium.run(submit).expect_code(0).json()["batch"].as_str().unwrap().to_owned();
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &directory.path().join("log"));
    scriptorium.run(["status", &batch, "--out", &out, "--wait", "--json"]).expect_code(1);
    // The last tally.
    tokio::time::sleep(Duration::from_secs(3)).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));

    let submit = ["submit", &queued, &returned, "--out", &out, "--batch", &batch, "--json"];
    scriptorium.run(submit).expect_code(0);
    let queue = services.queue().await;
    give_back(&queue, &returned).await;
    let connection =
        Connection::connect(&services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut messages = Vec::new();
    for name in ["jobs", "returned"] {
        let from = format!("{}.{name}", services.name);
        let options = BasicGetOptions { no_ack: true };
        let got = channel.basic_get(from.into(), options).await.unwrap().unwrap();
        let headers = got.delivery.properties.headers().clone().unwrap_or_default();
        let (mut texts, mut integers) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in headers.inner() {
            match value {
                // The broker's own.
                _ if key.as_str().starts_with("x-") => {}
                AMQPValue::LongString(text) => {
                    drop(texts.insert(key.to_string(), text.to_string()))
                }
                AMQPValue::LongLongInt(number) => drop(integers.insert(key.to_string(), *number)),
                _ => {}
            }
        }
        messages.push(LeftMessage {
            queue: name.to_owned(),
            id: got.delivery.properties.message_id().as_ref().unwrap().to_string(),
            body: String::from_utf8(got.delivery.data.clone()).unwrap(),
            texts,
            integers,
        });
    }
    let mut objects = BTreeMap::new();
    for name in bucket.names("out/").await {
        let name = format!("out/{name}");
        let text = String::from_utf8(bucket.get(&name).await).unwrap();
        objects.insert(name, text);
    }
    let left = Left { batch, objects, messages };
    let text = serde_json::to_string_pretty(&left).unwrap() + "\n";
    let path = releases().join(concat!(env!("CARGO_PKG_VERSION"), ".json"));
    fs::create_dir_all(releases()).unwrap();
    fs::write(path, text).unwrap();
    queue.delete_queues().await.unwrap();
}

/// Gives a job back as a worker does after a failed attempt, and leaves the other where it was.
async fn give_back(queue: &queue::AmqpQueue, source: &str) {
    let mut jobs = queue.consume(Origin::Jobs(Lane::Normal), 2).await.unwrap();
    let mut others = Vec::new();
    loop {
        let lease = tokio::time::timeout(TIMEOUT, jobs.next()).await.unwrap().unwrap();
        let job = job::Job::from_slice(&lease.message().body).unwrap();
        let counts = lease.message().counts.clone();
        if job.source.reveal() == source {
            lease.forward(Destination::Returned, counts.attempted()).await.unwrap();
            break;
        }
        others.push(lease.message().clone());
        lease.ack().await.unwrap();
    }
    jobs.stop().await;
    for message in others {
        queue.publish(message).await.unwrap();
    }
}
