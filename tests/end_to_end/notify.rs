//! Somebody is told that a batch is over: by events, and by a signed webhook.

#[path = "../support/receiver.rs"]
mod receiver;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use queue::{Queue, QueueDepth};
use serde_json::Value;
use sha2::Sha256;

use self::receiver::{Received, Receiver};
use crate::{
    services::Services,
    support::{TIMEOUT, models, speech, wait_for_log, without_models},
};

const KEY: &[u8] = b"not a secret but 24 long";

/// Checks the signature as the documentation says; returns the event.
fn verified(request: &Received) -> Value {
    let header = |name: &str| request.headers[name].as_str();
    let timestamp: u64 = header("webhook-timestamp").parse().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(timestamp) < 300, "{timestamp}");
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{}.{timestamp}.", header("webhook-id")).as_bytes());
    mac.update(&request.body);
    let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
    mac.verify_slice(&BASE64_STANDARD.decode(signature).unwrap()).unwrap();
    serde_json::from_slice(&request.body).unwrap()
}

/// Binds a queue to the events of batches; returns its name.
async fn listen(services: &Services, channel: &Channel) -> String {
    let name = format!("{}.listener", services.name);
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = name.as_str();
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    let exchange = format!("{}.events", services.name);
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(
        queue.into(),
        exchange.into(),
        "batch.*".into(),
        options,
        FieldTable::default(),
    );
    bound.await.unwrap();
    name
}

async fn events(channel: &Channel, queue: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some(got) = channel.basic_get(queue.into(), Default::default()).await.unwrap() {
        events.push(serde_json::from_slice(&got.delivery.data).unwrap());
    }
    events
}

async fn wait_for_requests(receiver: &Receiver, count: usize) -> Vec<Received> {
    let begin = Instant::now();
    loop {
        let requests = receiver.requests();
        if requests.len() >= count {
            return requests;
        }
        assert!(begin.elapsed() < TIMEOUT, "{requests:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One of two workers is killed, and the server is in trouble at first.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_batch_is_told_by_events_and_a_webhook() {
    let (Some(models), Some(services)) = (models(), Services::of_test("notify")) else { return };
    let bucket = services.bucket().await;
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for number in 0..6 {
        bucket.put(&format!("in/{number}.opus"), sentence.clone()).await;
    }
    bucket.put("in/bad.wav", b"RIFF".to_vec()).await;
    let answer = |number| Some(if number == 0 { "503 Service Unavailable" } else { "200 OK" });
    let receiver = Receiver::start(answer);
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, format!("whsec_{}\n", BASE64_STANDARD.encode(KEY))).unwrap();
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__WORKER__EVENTS", "confirmed")
        .with("SCRIPTORIUM__NOTIFY__HOSTS", &receiver.address.to_string())
        .with("SCRIPTORIUM__NOTIFY__SECRET_FILE", secret.to_str().unwrap())
        .with("SCRIPTORIUM__NOTIFY__ALLOW_PRIVATE", "true")
        .with("SCRIPTORIUM__NOTIFY__ALLOW_HTTP", "true");
    let queue = services.queue().await;
    let connection =
        Connection::connect(&services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let listener = listen(&services, &channel).await;

    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let url = format!("http://{}/hook?token=s3cret", receiver.address);
    let submit = ["submit", &recordings, "--out", &out, "--notify", &url, "--json"];
    let submitted = scriptorium.run(submit).expect_code(0).json();
    let batch = submitted["batch"].as_str().unwrap();
    let log = directory.path().join("log");
    let start = || scriptorium.start(["worker", "--threads", "1"], &log);
    let (mut victim, mut worker) = (start(), start());
    wait_for_log(&log, "\"done\"").await;
    victim.signal("KILL");
    victim.wait();

    let requests = wait_for_requests(&receiver, 2).await;
    let ids: BTreeSet<_> = requests.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!(ids.len(), 1, "{requests:?}");
    assert_eq!(requests[0].target, "/hook?token=s3cret");
    let told: Vec<Value> = requests.iter().map(verified).collect();
    assert_eq!(told[0], told[1]);
    let data = &told[0]["data"];
    let counts = ["jobs", "done", "failed"].map(|name| data[name].as_u64().unwrap());
    assert_eq!((counts, data["batch"].as_str()), ([7, 6, 1], Some(batch)), "{data}");
    let begin = Instant::now();
    while queue.depth().await.unwrap() != (QueueDepth { dead: 1, ..QueueDepth::default() }) {
        assert!(begin.elapsed() < TIMEOUT, "{:?}", queue.depth().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let events_of_first = events(&channel, &listener).await;
    let types: Vec<_> =
        events_of_first.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["scriptorium.batch.submitted", "scriptorium.batch.completed"]);
    assert_eq!(events_of_first[0]["data"]["jobs"], 7, "{events_of_first:?}");
    assert_eq!(events_of_first[1], told[0]);

    let status = scriptorium.status(batch);
    let notification = &status["notifications"][0];
    assert_eq!(notification["complete"], true, "{status}");
    let webhook = &notification["webhook"];
    let (state, attempts) = (&webhook["state"], &webhook["attempts"]);
    assert_eq!((state, attempts), (&"delivered".into(), &2.into()), "{status}");
    let shown = scriptorium.run(["status", batch]).expect_code(1).stdout;
    assert!(shown.contains("/hook: delivered") && shown.contains("HTTP 200"), "{shown}");

    // Another submission of the batch, of which everything has ended but the failure.
    let again = ["submit", &recordings, "--out", &out, "--batch", batch, "--notify", &url];
    scriptorium.run(again).expect_code(0);
    let requests = wait_for_requests(&receiver, 3).await;
    assert!(!ids.contains(&requests[2].headers["webhook-id"]), "{requests:?}");
    assert_eq!(verified(&requests[2])["data"]["done"], 6);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("told that the batch is over"), "{log}");
    assert!(!log.contains("s3cret") && !log.contains("whsec_"), "{log}");
    queue.delete_queues().await.unwrap();
}

/// A submitter refuses what it knows to be refused.
#[test]
fn urls_that_cannot_be_notified_are_wrong_usage() {
    let submit = |url| ["submit", "/in/", "--out", "/out/", "--notify", url];
    for (url, reason) in [
        ("ftp://hooks.example.org/", "https://"),
        ("https://ann:p@hooks.example.org/", "user or a password"),
        ("http://hooks.example.org/", "notify.allow_http"),
        ("https://10.0.0.1/", "notify.allow_private"),
        ("https://[::ffff:10.0.0.1]/?token=s3cret", "notify.allow_private"),
    ] {
        let (_directory, scriptorium) = without_models();
        let ran = scriptorium.run(submit(url)).expect_code(2);
        assert!(ran.stderr.contains(reason), "{url}: {}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
    let (_directory, scriptorium) = without_models();
    let scriptorium = scriptorium
        .with("SCRIPTORIUM__NOTIFY__HOSTS", "hooks.example.org, *.example.net")
        .with("SCRIPTORIUM__NOTIFY__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let ran = scriptorium.run(submit("https://example.net/")).expect_code(2);
    assert!(ran.stderr.contains("example.net is not in notify.hosts"), "{}", ran.stderr);
    let shown = scriptorium.run(["config"]).expect_code(0).stdout;
    assert!(shown.contains("*.example.net") && !shown.contains("MfKQ"), "{shown}");
    // Webhooks without a signature are a mistake in the configuration.
    let unsigned = scriptorium.with("SCRIPTORIUM__NOTIFY__SECRET", "password");
    let ran = unsigned.run(["worker"]).expect_code(2);
    assert!(ran.stderr.contains("notify") && ran.stderr.contains("whsec_"), "{}", ran.stderr);
}
