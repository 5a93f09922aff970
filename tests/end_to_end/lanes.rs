//! Lanes, long recordings, and batches that are paused or cancelled, on real services and processes.

use std::{
    fs,
    time::{Duration, Instant},
};

use queue::Queue;
use serde_json::Value;

use crate::{
    services::Services,
    support::{Process, Scriptorium, TIMEOUT, long_recording, models, speech},
};

fn submit(scriptorium: &Scriptorium, services: &Services, from: &str, lane: &str) -> String {
    let (recordings, out) = (services.uri(from), services.uri("out/"));
    let arguments = ["submit", &recordings, "--out", &out, "--json", "--lane", lane];
    let submitted = scriptorium.run(arguments).expect_code(0).json();
    submitted["batch"].as_str().unwrap().to_owned()
}

/// Waits until `condition` holds for the status of the batch, and returns the status.
async fn wait_for(
    what: &str,
    scriptorium: &Scriptorium,
    batch: &str,
    condition: impl Fn(&Value) -> bool,
) -> Value {
    let begin = Instant::now();
    loop {
        let status = scriptorium.status(batch);
        if condition(&status) {
            return status;
        }
        assert!(begin.elapsed() < TIMEOUT, "{what}: {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Ten seconds stand for long, as thirty minutes do otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_recording_behind_long_ones_is_done_at_once() {
    let (Some(models), Some(services)) = (models(), Services::of_test("fair")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let long = long_recording(directory.path(), 10);
    for number in 0..12 {
        bucket.put(&format!("long/{number:02}.wav"), long.clone()).await;
    }
    bucket.put("short/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let scriptorium = services.scriptorium(&models).with("SCRIPTORIUM__WORKER__LONG_SECONDS", "10");
    let long = &submit(&scriptorium, &services, "long/", "normal");
    let short = &submit(&scriptorium, &services, "short/", "normal");

    let log = directory.path().join("log");
    let mut workers: Vec<Process> =
        (0..2).map(|_| scriptorium.start(["worker", "--threads", "1"], &log)).collect();
    wait_for("the short one", &scriptorium, short, |status| status["done"] == 1).await;
    let then = scriptorium.status(long);
    assert!(then["done"].as_u64().unwrap() < 6, "the long ones were before it: {then}");
    wait_for("the long ones", &scriptorium, long, |status| status["done"] == 12).await;
    for worker in &mut workers {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    services.queue().await.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_paused_resumed_and_cancelled() {
    let (Some(models), Some(services)) = (models(), Services::of_test("control")) else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    bucket.put("in/00.wav", long_recording(directory.path(), 80)).await;
    for number in 1..30 {
        let sentence = fs::read(speech("sentence.opus")).unwrap();
        bucket.put(&format!("in/{number:02}.opus"), sentence).await;
    }
    let scriptorium = services.scriptorium(&models);
    let batch = &submit(&scriptorium, &services, "in/", "bulk");
    let paused = scriptorium.run(["pause", batch]).expect_code(0);
    assert!(paused.stdout.contains(&format!("scriptorium resume {batch}")), "{paused:?}");

    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    let queue = services.queue().await;
    let begin = Instant::now();
    while queue.depth().await.unwrap().held < 30 {
        assert!(begin.elapsed() < TIMEOUT, "{}", fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let state = scriptorium.status(batch);
    assert_eq!((&state["control"], &state["done"]), (&"paused".into(), &0.into()), "{state}");

    let resumed = scriptorium.run(["resume", batch, "--json"]).expect_code(0).json();
    assert_eq!((&resumed["control"], &resumed["released"]), (&"active".into(), &30.into()));
    wait_for("progress", &scriptorium, batch, |status| status["done"].as_u64() > Some(3)).await;

    scriptorium.run(["cancel", batch]).expect_code(0);
    let over = scriptorium.run(["status", batch, "--wait", "--json"]).expect_code(1).json();
    assert_eq!((&over["control"], &over["running"]), (&"cancelled".into(), &0.into()), "{over}");
    let counts = ["done", "cancelled"].map(|state| over[state].as_u64().unwrap());
    assert_eq!((counts[0] + counts[1], &over["failed"]), (30, &0.into()), "{over}");
    let begin = Instant::now();
    while queue.depth().await.unwrap() != queue::QueueDepth::default() {
        assert!(begin.elapsed() < TIMEOUT, "{:?}", queue.depth().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bucket.names(&format!("out/.scriptorium/{batch}/running/")).await, [""; 0]);
    let refused = scriptorium.run(["resume", batch]).expect_code(2);
    assert!(refused.stderr.contains("is cancelled"), "{refused:?}");

    // Submitting again makes it active.
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let again = ["submit", &recordings, "--out", &out, "--batch", batch, "--wait", "--json"];
    let done = scriptorium.run(again).expect_code(0).json();
    assert_eq!((&done["control"], &done["done"]), (&"active".into(), &30.into()), "{done}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    queue.delete_queues().await.unwrap();
}
