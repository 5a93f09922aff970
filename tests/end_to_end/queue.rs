//! Edge cases of `scriptorium worker`, `submit` and `status`.

use std::{fs, path::Path, time::Duration};

use job::{BatchId, Job, JobOptions, records_prefix};
use queue::{Message, Queue};
use serde_json::Value;

use crate::{
    proxy::Proxy,
    services::Services,
    support::{SENTENCE, TIMEOUT, long_recording, models, speech, text_of, wait_for_log},
};

fn text(job: &Job) -> String {
    String::from_utf8(job.to_vec()).unwrap()
}

/// Returns a valid job for the object `source` of the test's bucket.
fn job(services: &Services, source: &str) -> Job {
    let batch: BatchId = "0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11".parse().unwrap();
    let records = records_prefix(&services.uri("out/"), &batch);
    let output = services.uri(&format!("out/{source}"));
    Job::new(batch, services.uri(source), output, records, JobOptions::default())
}

async fn dead_letters(services: &Services, count: usize, log: &Path) -> Vec<(String, String)> {
    let queue = services.queue().await;
    let mut letters = Vec::new();
    for _ in 0..600 {
        letters.extend(queue.take_dead_letters(100).await.unwrap());
        if letters.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(letters.len(), count, "{letters:?}\n{log}");
    let mut reasons: Vec<_> = letters
        .into_iter()
        .map(|l| (l.message.id, format!("{}: {}", l.reason.code, l.reason.detail)))
        .collect();
    reasons.sort();
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_jobs_become_dead_letters_with_a_reason() {
    let (Some(models), Some(services)) = (models(), Services::of_test("dead")) else { return };
    let bucket = services.bucket().await;
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    bucket.put("in/a.opus", sentence).await;
    let queue = services.queue().await;
    let good = job(&services, "in/a.opus");
    let mut newer = serde_json::to_value(&good).unwrap();
    newer["version"] = 9.into();
    let mut unknown = serde_json::to_value(&good).unwrap();
    unknown["colour"] = "blue".into();
    let mut model = good.clone();
    model.options.model = Some("nonesuch".to_owned());
    let batch = good.batch.clone().unwrap();
    let elsewhere = Job::new(
        batch.clone(),
        good.source.clone(),
        "s3://no-such-bucket-here/a".to_owned(),
        records_prefix("s3://no-such-bucket-here", &batch),
        JobOptions::default(),
    );
    for (id, body) in [
        ("b", "not json".to_owned()),
        ("c", text(&job(&services, "in/missing.wav"))),
        ("e", newer.to_string()),
        ("f", unknown.to_string()),
        ("g", text(&model)),
        ("h", text(&elsewhere)),
    ] {
        queue.publish(Message::new(id, body)).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = services.scriptorium(&models).start(["worker"], &log);
    let reasons = dead_letters(&services, 6, &log).await;
    let expected = [
        ("b", "job_invalid", "not valid"),
        ("c", "source_missing", "missing.wav"),
        ("e", "job_invalid", "version 9"),
        ("f", "job_invalid", "colour"),
        ("g", "model_unavailable", "nonesuch"),
        ("h", "output_denied", "no-such-bucket-here"),
    ];
    for ((id, code, word), (found, reason)) in expected.iter().zip(&reasons) {
        assert_eq!(found, id);
        assert!(reason.starts_with(code), "{id}: {reason}");
        assert!(reason.contains(word), "{id}: {reason}");
    }
    let record = bucket.get("out/in/missing.wav.error.json").await;
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["code"], "source_missing");
    assert!(!record["remedy"].as_str().unwrap().is_empty());
    // The worker still completes other jobs.
    queue.publish(Message::new("z", text(&good))).await.unwrap();
    for _ in 0..300 {
        if bucket.names("out/in/").await.iter().any(|name| name == "a.opus.json") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let transcript: Value =
        serde_json::from_slice(&bucket.get("out/in/a.opus.json").await).unwrap();
    assert_eq!(text_of(&transcript), SENTENCE);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    queue.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_keys_are_accepted() {
    let (Some(models), Some(services)) = (models(), Services::of_test("keys")) else { return };
    let bucket = services.bucket().await;
    let names = [
        "with space.opus",
        "quote's \"double\".opus",
        "dots/../up.opus",
        "new\nline.opus",
        "録音 – запись.opus",
        "percent%2F%20.opus",
        "a+b&c=d?e#f.opus",
        "<script>.opus",
    ];
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for name in names {
        bucket.put(&format!("in/{name}"), sentence.clone()).await;
    }
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker"], &log);
    let status = scriptorium
        .run(["submit", &services.uri("in/"), "--out", &services.uri("out"), "--wait", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(status["done"], names.len(), "{status}");
    for name in names {
        let body = bucket.get(&format!("out/{name}.json")).await;
        let transcript: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(text_of(&transcript), SENTENCE, "{name}");
        assert_eq!(transcript["source"]["uri"], services.uri(&format!("in/{name}")));
    }
    // A second submission finds all transcripts up to date, and repeats nothing.
    let first = bucket.get("out/with space.opus.json").await;
    let again = scriptorium
        .run(["submit", &services.uri("in/"), "--out", &services.uri("out"), "--wait", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(again["done"], names.len(), "{again}");
    assert_eq!(bucket.get("out/with space.opus.json").await, first);
    let records = format!("out/.scriptorium/{}/done/", again["batch"].as_str().unwrap());
    let done = bucket.names(&records).await;
    assert_eq!(done.len(), names.len());
    for name in done {
        let record = bucket.get(&format!("{records}{name}")).await;
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["up_to_date"], true, "{record}");
    }
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_not_the_fault_of_a_recording() {
    let (Some(models), Some(services)) = (models(), Services::of_test("denied")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let out = tempfile::tempdir().unwrap();
    let ran = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__STORE__S3__SECRET_KEY", "not-the-secret")
        .run([
            "transcribe",
            &services.uri("in/a.opus"),
            "--out",
            out.path().to_str().unwrap(),
            "--json",
        ])
        .expect_code(1);
    let summary = ran.json();
    assert_eq!(summary["failures"][0]["code"], "store_misconfigured", "{summary}");
    assert!(!ran.stderr.contains("not-the-secret"));
}

/// A batch that names a model which no worker has once showed nothing but "running", for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn status_says_why_jobs_wait() {
    let (Some(models), Some(services)) = (models(), Services::of_test("setback")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__WORKER__RETRY_DELAYS", "60")
        .with("SCRIPTORIUM__QUEUE__RETRY_DELAYS_SECONDS", "60");
    let (source, out) = (services.uri("in/a.opus"), services.uri("out/"));
    let submit = ["submit", &source, "--out", &out, "--model", "nonesuch", "--json"];
    let batch = scriptorium.run(submit).expect_code(0).json()["batch"].as_str().unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let mut worker = scriptorium.start(["worker"], &directory.path().join("log"));
    let started = std::time::Instant::now();
    let status = loop {
        let status = scriptorium.status(&batch);
        if status.get("last_setback").is_some() {
            break status;
        }
        assert!(started.elapsed() < TIMEOUT, "{status}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    let setback = &status["last_setback"];
    assert_eq!((&setback["code"], &status["queued"]), (&"model_unavailable".into(), &1.into()));
    assert_eq!(setback["source"], source);
    assert!(setback["message"].as_str().unwrap().contains("nonesuch"), "{status}");
    let [at, next] = ["at", "next_try_at"].map(|time| setback[time].as_str().unwrap());
    assert!(next > at, "{status}");
    let shown = scriptorium.run(["status", &batch]).stdout;
    assert!(shown.contains("waiting for another try") && shown.contains("nonesuch"), "{shown}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}

/// A worker that starts before its broker and its store waits for both, and logs that it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_services_that_are_down() {
    let (Some(models), Some(services)) = (models(), Services::of_test("waits")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let queue = services.queue().await;
    queue.publish(Message::new("a", text(&job(&services, "in/a.opus")))).await.unwrap();

    let host = services.amqp_url.rsplit_once('@').map_or("", |(_, host)| host);
    let broker = host.split_once('/').map_or(host, |(host, _)| host);
    let mut broker_proxy = Proxy::cut_off(broker).await;
    let mut store_proxy = Proxy::cut_off(services.s3_address()).await;
    let url = services.amqp_url.replace(broker, &broker_proxy.address());
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__QUEUE__URL", &url)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &format!("http://{}", store_proxy.address()))
        .with("SCRIPTORIUM__WORKER__PROBE", &services.uri("out/"))
        .start(["worker"], &log);

    wait_for_log(&log, "waiting for the store").await;
    store_proxy.restore().await;
    wait_for_log(&log, "store probed").await;
    wait_for_log(&log, "broker").await;
    broker_proxy.restore().await;
    wait_for_log(&log, "\"done\"").await;
    assert_eq!(bucket.names("out/in/").await, ["a.opus.json"]);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    queue.delete_queues().await.unwrap();
}

/// SIGTERM while a long job runs: the job goes back to the queue, for another worker.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_releases_long_jobs() {
    let (Some(models), Some(services)) = (models(), Services::of_test("drain")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    bucket.put("in/long.wav", long_recording(directory.path(), 200)).await;
    let queue = services.queue().await;
    queue.publish(Message::new("a", text(&job(&services, "in/long.wav")))).await.unwrap();

    let log = directory.path().join("log");
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__WORKER__DRAIN_SECONDS", "0")
        .with("SCRIPTORIUM__LOG__LEVEL", "info,worker=debug");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    wait_for_log(&log, "\"started\"").await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    assert!(bucket.names("out/in/").await.is_empty(), "the job was too short for this test");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("back to the queue"), "{text}");
    for _ in 0..50 {
        if queue.depth().await.unwrap().ready == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.dead), (1, 0, 0));
    queue.delete_queues().await.unwrap();
}

/// Two recordings must not share a transcript. One recording must not have two jobs: `--wait` would
/// wait forever.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_has_one_job_for_each_transcript() {
    let (Some(models), Some(services)) = (models(), Services::of_test("twice")) else { return };
    let bucket = services.bucket().await;
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for name in ["a/x.opus", "b/x.opus"] {
        bucket.put(name, sentence.clone()).await;
    }
    let scriptorium = services.scriptorium(&models);
    let (first, second) = (services.uri("a/x.opus"), services.uri("b/x.opus"));
    let out = services.uri("out/");
    let submit = |paths: &[&str]| {
        let arguments = [&["submit"], paths, &["--out", &out, "--json"]].concat();
        scriptorium.run(arguments)
    };
    let clash = submit(&[&first, &second]).expect_code(1);
    let submitted = clash.json();
    assert_eq!((&submitted["jobs"], &submitted["failed"]), (&1.into(), &1.into()), "{submitted}");
    assert!(clash.stderr.contains("would replace that of"), "{}", clash.stderr);
    let submitted = submit(&[&services.uri("a/"), &first]).expect_code(0).json();
    assert_eq!((&submitted["jobs"], &submitted["failed"]), (&1.into(), &0.into()), "{submitted}");
    services.queue().await.delete_queues().await.unwrap();
}

/// `--wait` waits for a failed job that is submitted again within its batch.
#[tokio::test(flavor = "multi_thread")]
async fn resubmitting_a_job_removes_the_record_of_its_failure() {
    let (Some(models), Some(services)) = (models(), Services::of_test("again")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", b"not yet uploaded".to_vec()).await;
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker"], &log);
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let base = ["submit", &recordings, "--out", &out, "--wait", "--json"];
    let failed = scriptorium.run(base).expect_code(1).json();
    assert_eq!((&failed["done"], &failed["failed"]), (&0.into(), &1.into()), "{failed}");
    assert!(bucket.names("out/").await.contains(&"a.opus.error.json".to_owned()));

    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let batch = failed["batch"].as_str().unwrap();
    let again = scriptorium.run(base.into_iter().chain(["--batch", batch])).expect_code(0).json();
    assert_eq!((&again["done"], &again["failed"]), (&1.into(), &0.into()), "{again}");
    assert!(!bucket.names("out/").await.contains(&"a.opus.error.json".to_owned()));
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}
