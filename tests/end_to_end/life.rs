//! The life of a job on real services: nothing that one job or one worker does hurts another.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use job::{BatchId, Job, JobOptions, records_prefix};
use queue::{Counts, Destination, Lane, Message, Origin, Queue, QueueDepth};
use serde_json::Value;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    http,
    proxy::Proxy,
    services::{Bucket, Services},
    support::{Process, Scriptorium, TIMEOUT, long_recording, models, speech, wait_for_log},
};

/// Submits the test's recordings; returns the id of the batch.
fn submit(scriptorium: &Scriptorium, services: &Services) -> String {
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let submitted =
        scriptorium.run(["submit", &recordings, "--out", &out, "--json"]).expect_code(0).json();
    submitted["batch"].as_str().unwrap().to_owned()
}

/// Returns the id of the process that runs a job, as its record says.
async fn runner(bucket: &Bucket, batch: &str, job: &str) -> Option<u32> {
    let name = format!("out/.scriptorium/{batch}/running/{job}");
    let found = bucket.store.get(&bucket.key(&name), 1 << 20).await.ok()?;
    let record: Value = serde_json::from_slice(&found.1).unwrap();
    record["worker"].as_str()?.rsplit('-').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_workers_takes_nobody_along() {
    let (Some(models), Some(services)) = (models(), Services::of_test("poison")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    bucket.put("in/bomb.wav", long_recording(directory.path(), 400)).await;
    for number in 0..20 {
        let sentence = fs::read(speech("sentence.opus")).unwrap();
        bucket.put(&format!("in/{number}.opus"), sentence).await;
    }
    let scriptorium = services.scriptorium(&models);
    let batch = &submit(&scriptorium, &services);
    let output = services.uri("out/bomb.wav");
    let id = batch.parse::<BatchId>().unwrap();
    let records = records_prefix(&services.uri("out/"), &id);
    let bomb = Job::new(id, services.uri("in/bomb.wav"), output, records, JobOptions::default()).id;

    let log = directory.path().join("log");
    let start = || scriptorium.start(["worker", "--threads", "1"], &log);
    let mut workers: Vec<Process> = (0..3).map(|_| start()).collect();
    let begin = Instant::now();
    let mut deaths = 0;
    loop {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
        if let Some(victim) = runner(&bucket, batch, &bomb).await
            && let Some(index) = workers.iter().position(|worker| worker.id() == victim)
        {
            workers[index].signal("KILL");
            workers[index].wait();
            workers[index] = start();
            deaths += 1;
        }
        let status = scriptorium.status(batch);
        if status["done"] == 20 && status["failed"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(deaths, 4, "once beside other jobs, three times alone");
    let letters = services.queue().await.take_dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason.code.as_str(), &letters[0].message.id), ("worker_lost", &bomb));
    for worker in &mut workers {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    services.queue().await.delete_queues().await.unwrap();
}

/// The lease is shorter than the job: the message is parked, comes back to the other worker, is parked
/// again, and the job runs once.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_longer_than_the_lease_runs_once() {
    let (Some(models), Some(services)) = (models(), Services::of_test("long-lease")) else {
        return;
    };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    bucket.put("in/long.wav", long_recording(directory.path(), 60)).await;
    let scriptorium = services.scriptorium(&models).with("SCRIPTORIUM__QUEUE__LEASE_SECONDS", "1");
    let log = directory.path().join("log");
    let mut workers: Vec<Process> =
        (0..2).map(|_| scriptorium.start(["worker", "--threads", "1"], &log)).collect();
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let status = scriptorium
        .run(["submit", &recordings, "--out", &out, "--wait", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(status["done"], 1, "{status}");
    // The message that is left finds the job done.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for worker in &mut workers {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    let log = fs::read_to_string(&log).unwrap();
    let count = |text: &str| log.matches(text).count();
    let up_to_date = count("\"up_to_date\":true");
    assert_eq!((count("\"done\""), up_to_date), (1, 0), "{log}");
    assert!(!log.contains("run alone") && !log.contains("lost before it was settled"), "{log}");
    let queue = services.queue_with_lease(1).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.parked, depth.dead), (0, 0, 0, 0), "{log}");
    queue.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_retried_and_dropped() {
    let (Some(models), Some(services)) = (models(), Services::of_test("letters")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", b"not yet uploaded".to_vec()).await;
    bucket.put("in/b\u{1b}[31m.opus", b"never uploaded".to_vec()).await;
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let submit = ["submit", &recordings, "--out", &out, "--wait", "--json"];
    let failed = scriptorium.run(submit).expect_code(1).json();
    assert_eq!((&failed["done"], &failed["failed"]), (&0.into(), &2.into()), "{failed}");
    let queue = services.queue().await;
    queue.publish(Message::new("x", "not a job")).await.unwrap();
    let begin = Instant::now();
    while queue.depth().await.unwrap().dead < 3 {
        assert!(begin.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let listed = scriptorium.run(["dead", "list", "--json"]).expect_code(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let a =
        listed.as_array().unwrap().iter().find(|entry| {
            entry["source"].as_str().is_some_and(|source| source.ends_with("a.opus"))
        });
    let a = a.unwrap()["job"].as_str().unwrap();
    let lines = scriptorium.run(["dead", "list", "--code", "audio_unrecognized"]).expect_code(0);
    assert_eq!(lines.stdout.lines().count(), 2, "{}", lines.stdout);
    assert!(lines.stdout.contains(a) && !lines.stdout.contains('\u{1b}'), "{}", lines.stdout);
    let shown = scriptorium.run(["dead", "show", a]).expect_code(0).stdout;
    assert!(shown.contains("audio_unrecognized") && !shown.contains("not yet uploaded"), "{shown}");
    scriptorium.run(["dead", "show", "nonesuch"]).expect_code(1);
    scriptorium.run(["dead", "retry"]).expect_code(2);

    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let batch = failed["batch"].as_str().unwrap();
    let retried =
        scriptorium.run(["dead", "retry", "--batch", batch, "--json"]).expect_code(0).json();
    assert_eq!((&retried["retried"], &retried["invalid"]), (&2.into(), &0.into()), "{retried}");
    let status = scriptorium.run(["status", batch, "--wait", "--json"]).expect_code(1).json();
    assert_eq!((&status["done"], &status["failed"]), (&1.into(), &1.into()), "{status}");
    assert_eq!(status["failures"][0]["generation"], 1, "{status}");
    let dropped = scriptorium.run(["dead", "drop", "--all", "--json"]).expect_code(0).json();
    assert_eq!(dropped["dropped"], 2, "{dropped}");
    scriptorium.run(["dead", "drop", "--all"]).expect_code(1);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    queue.delete_queues().await.unwrap();
}

/// Submitting a batch again publishes what is not done, and counts all of its jobs.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_submitted_again_never_shrinks() {
    let (Some(models), Some(services)) = (models(), Services::of_test("resubmit")) else { return };
    let bucket = services.bucket().await;
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for name in ["a", "b", "c"] {
        bucket.put(&format!("in/{name}.opus"), sentence.clone()).await;
    }
    bucket.put("in/d.opus", b"not yet uploaded".to_vec()).await;
    let scriptorium = services.scriptorium(&models);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let submit = ["submit", &recordings, "--out", &out, "--wait", "--json"];
    let first = scriptorium.run(submit).expect_code(1).json();
    assert_eq!((&first["jobs"], &first["done"]), (&4.into(), &3.into()), "{first}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));

    // Without a worker: nothing is done by submitting it again.
    let batch = first["batch"].as_str().unwrap();
    let d = services.uri("in/d.opus");
    let again = ["submit", &d, "--out", &out, "--batch", batch, "--json"];
    let again = scriptorium.run(again).expect_code(0).json();
    assert_eq!((&again["jobs"], &again["already_done"]), (&1.into(), &0.into()), "{again}");
    let state = scriptorium.status(batch);
    let counts = ["jobs", "queued", "done", "failed"].map(|name| state[name].as_u64());
    assert_eq!(counts, [Some(4), Some(1), Some(3), Some(0)], "{state}");

    bucket.put("in/d.opus", sentence).await;
    let all = ["submit", &recordings, "--out", &out, "--batch", batch, "--json"];
    let all = scriptorium.run(all).expect_code(0).json();
    assert_eq!((&all["jobs"], &all["already_done"]), (&1.into(), &3.into()), "{all}");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    let status = scriptorium.run(["status", batch, "--wait", "--json"]).expect_code(0).json();
    assert_eq!((&status["jobs"], &status["done"]), (&4.into(), &4.into()), "{status}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}

async fn upload_sentences(bucket: &Bucket, count: usize) {
    let sentence = fs::read(speech("sentence.opus")).unwrap();
    for number in 0..count {
        bucket.put(&format!("in/{number}.opus"), sentence.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_wrong_secret_hurts_no_job() {
    let Some(services) = Services::of_test("secret") else { return };
    let variable = "SCRIPTORIUM__STORE__S3__SECRET_KEY";
    a_bad_worker_hurts_no_job(&services, variable, "not-the-secret", "the secret key is wrong")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_account_may_do_nothing_hurts_no_job() {
    let Some(services) = Services::of_test("rights") else { return };
    let variable = "SCRIPTORIUM__STORE__S3__ACCESS_KEY";
    let other = services.other_access_key.clone();
    a_bad_worker_hurts_no_job(&services, variable, &other, "may not be read either").await;
}

/// Passes requests on to a store, but answers requests of a method about the records of runs with an error.
async fn refuse(
    client: TcpStream,
    server: TcpStream,
    refused: &str,
    status: &str,
    code: &str,
    allowed: &AtomicBool,
) -> io::Result<()> {
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(request) = http::Message::request(&mut client).await? {
        let (method, target) = request.target();
        let is_refused = method == refused && target.contains("/running/");
        if is_refused && !allowed.load(Ordering::Relaxed) {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/xml");
            let length = body.len();
            let answer =
                format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            return client.get_mut().write_all(answer.as_bytes()).await;
        }
        server.get_mut().write_all(&request.whole()).await?;
        let response = http::Message::response(&mut server, &method).await?;
        client.get_mut().write_all(&response.whole()).await?;
    }
    Ok(())
}

/// Returns a way to the store that refuses requests about the records of runs until they are `allowed`.
async fn refusing(
    services: &Services,
    method: &'static str,
    status: &'static str,
    code: &'static str,
    allowed: &Arc<AtomicBool>,
) -> Proxy {
    let allowed = Arc::clone(allowed);
    let relay = move |client, server| {
        let allowed = Arc::clone(&allowed);
        async move { drop(refuse(client, server, method, status, code, &allowed).await) }.boxed()
    };
    let mut proxy = Proxy::with_relay(services.s3_address(), Arc::new(relay)).await;
    proxy.restore().await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_could_not_be_deleted_is_deleted_later() {
    let (Some(models), Some(services)) = (models(), Services::of_test("leftover")) else { return };
    let bucket = services.bucket().await;
    upload_sentences(&bucket, 1).await;
    let batch = submit(&services.scriptorium(&models), &services);
    let queue = services.queue().await;
    // What runs alone is recorded.
    let mut jobs = queue.consume(Origin::Jobs(Lane::Normal), 1).await.unwrap();
    let counts = Counts { crashes: 1, ..Counts::default() };
    jobs.next().await.unwrap().forward(Destination::Quarantine, counts).await.unwrap();
    jobs.stop().await;

    let allowed = Arc::default();
    let (status, code) = ("503 Service Unavailable", "SlowDown");
    let proxy = refusing(&services, "DELETE", status, code, &allowed).await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &format!("http://{}", proxy.address()))
        .start(["worker", "--threads", "1"], &log);
    let begin = Instant::now();
    let expected = QueueDepth { delayed: 1, ..QueueDepth::default() };
    while queue.depth().await.unwrap() != expected {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let records = format!("out/.scriptorium/{batch}/");
    let is_recorded =
        async |kind: &str| !bucket.names(&format!("{records}{kind}/")).await.is_empty();
    assert!(is_recorded("done").await && is_recorded("running").await);

    allowed.store(true, Ordering::Relaxed);
    while is_recorded("running").await || queue.depth().await.unwrap() != QueueDepth::default() {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    queue.delete_queues().await.unwrap();
}

/// Its worker can write, so it could record a failure, but it is the worker's.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_read_the_records_of_a_suspect_leaves_it_to_others() {
    let Some(services) = Services::of_test("unread") else { return };
    let (status, code) = ("403 Forbidden", "RequestTimeTooSkewed");
    let proxy = refusing(&services, "GET", status, code, &Arc::default()).await;
    let endpoint = format!("http://{}", proxy.address());
    let variable = "SCRIPTORIUM__STORE__S3__ENDPOINT";
    a_bad_worker_hurts_no_job(&services, variable, &endpoint, "this machine's clock is wrong")
        .await;
}

/// Starts a worker with an environment variable that breaks it, which logs `reason`; then a good one,
/// which does all jobs.
async fn a_bad_worker_hurts_no_job(services: &Services, variable: &str, value: &str, reason: &str) {
    let Some(models) = models() else { return };
    let bucket = services.bucket().await;
    upload_sentences(&bucket, 12).await;
    let scriptorium = services.scriptorium(&models);
    let batch = &submit(&scriptorium, services);
    let queue = services.queue().await;
    // Some may have killed a worker: their records are read before they run.
    let mut jobs = queue.consume(Origin::Jobs(Lane::Normal), 1).await.unwrap();
    for destination in [Destination::Returned, Destination::Quarantine] {
        let counts = Counts { crashes: 1, ..Counts::default() };
        jobs.next().await.unwrap().forward(destination, counts).await.unwrap();
    }
    jobs.stop().await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let broken = services.scriptorium(&models).with(variable, value);
    let mut bad = broken.start(["worker", "--threads", "1"], &log);
    wait_for_log(&log, "not ready").await;
    let log_of_bad = fs::read_to_string(&log).unwrap();
    assert!(log_of_bad.contains(reason), "{log_of_bad}");
    assert!(!log_of_bad.contains(value));

    let mut good = scriptorium.start(["worker", "--threads", "1"], &directory.path().join("good"));
    let status = scriptorium.run(["status", batch, "--wait", "--json"]).expect_code(0).json();
    assert_eq!((&status["done"], &status["failed"]), (&12.into(), &0.into()), "{status}");
    for worker in [&mut bad, &mut good] {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    assert_eq!(queue.depth().await.unwrap(), QueueDepth::default());
    queue.delete_queues().await.unwrap();
}

/// The outage takes longer than all retries together.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_costs_no_job() {
    let (Some(models), Some(services)) = (models(), Services::of_test("outage")) else { return };
    let bucket = services.bucket().await;
    upload_sentences(&bucket, 40).await;
    let mut proxy = Proxy::start(services.s3_address()).await;
    let direct = services.scriptorium(&models);
    let through = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &format!("http://{}", proxy.address()))
        .with("SCRIPTORIUM__STORE__S3__MAX_ATTEMPTS", "1")
        .with("SCRIPTORIUM__WORKER__WRITE_PATIENCE_SECONDS", "1");
    let batch = &submit(&direct, &services);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut workers: Vec<Process> =
        (0..2).map(|_| through.start(["worker", "--threads", "1"], &log)).collect();
    let begin = Instant::now();
    while direct.status(batch)["done"].as_u64() < Some(5) {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
    }
    proxy.cut().await;
    let at_outage = direct.status(batch);
    assert!(at_outage["done"].as_u64() < Some(40), "{at_outage}");
    wait_for_log(&log, "not ready").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let queue = services.queue().await;
    assert_eq!(queue.depth().await.unwrap().dead, 0);
    proxy.restore().await;
    let status = direct.run(["status", batch, "--wait", "--json"]).expect_code(0).json();
    assert_eq!((&status["done"], &status["failed"]), (&40.into(), &0.into()), "{status}");
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("ready again"), "{log}");
    for worker in &mut workers {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    queue.delete_queues().await.unwrap();
}

/// The store is away when the transcript is finished: it is written when the store is back, and not
/// made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_transcript_waits_for_its_store() {
    let (Some(models), Some(services)) = (models(), Services::of_test("patience")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    // All of it is read ahead at the start.
    bucket.put("in/long.wav", long_recording(directory.path(), 22)).await;
    let mut proxy = Proxy::start(services.s3_address()).await;
    let direct = services.scriptorium(&models);
    let through = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &format!("http://{}", proxy.address()))
        .with("SCRIPTORIUM__STORE__S3__MAX_ATTEMPTS", "1")
        .with("SCRIPTORIUM__RECOGNIZER__PRECISION", "f32");
    let batch = &submit(&direct, &services);
    let log = directory.path().join("log");
    let mut worker = through.start(["worker", "--threads", "1"], &log);
    let begin = Instant::now();
    while direct.status(batch)["running"] != 1 {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
    }
    // The run is recorded after a second, which is long enough to read all of it.
    proxy.cut().await;
    wait_for_log(&log, "finished and cannot be written, trying again").await;
    proxy.restore().await;
    let status = direct.run(["status", batch, "--wait", "--json"]).expect_code(0).json();
    assert_eq!(status["done"], 1, "{status}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("\"message\":\"done\"").count(), 1, "{log}");
    assert!(!log.contains("postponed"), "{log}");
    services.queue().await.delete_queues().await.unwrap();
}

/// Neither a store that stalls nor a long job keeps a worker from ending in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_in_time_whatever_stalls() {
    let (Some(models), Some(services)) = (models(), Services::of_test("stall")) else { return };
    let bucket = services.bucket().await;
    upload_sentences(&bucket, 1).await;
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let direct = services.scriptorium(&models);
    submit(&direct, &services);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let stalled = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &endpoint)
        .with("SCRIPTORIUM__WORKER__DRAIN_SECONDS", "1");
    let mut worker = stalled.start(["worker", "--threads", "1"], &log);
    silent.accept().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let took = begin.elapsed();
    // One second of drain and two more, and one for a busy machine.
    assert!(took < Duration::from_secs(4), "{took:?}: {}", fs::read_to_string(&log).unwrap());
    let queue = services.queue().await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.dead), (1, 0), "{}", fs::read_to_string(&log).unwrap());
    queue.delete_queues().await.unwrap();
}
