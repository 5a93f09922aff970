//! Checkpoints: what a run has computed, the next one does not compute again.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use job::{Done, Job, JobOptions, RECORDS_VERSION};
use ledger::{BatchControl, BatchLedger, Ledger};
use queue::{Counts, Destination, Lane, Message, Origin, Queue};
use serde_json::Value;
use support::{Fleet, counted, wait_until, windows, write_speech};
use tokio_util::sync::CancellationToken;

/// Returns the names of the checkpoints of all jobs of the batch.
fn checkpoints(fleet: &Fleet, job: &Job) -> Vec<String> {
    let folder = fleet.records(job).join("checkpoint");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Reads a transcript without what it cost.
fn transcript(path: PathBuf) -> Value {
    let mut transcript: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    transcript.as_object_mut().unwrap().remove("processing");
    transcript["source"].as_object_mut().unwrap().remove("uri");
    transcript["source"].as_object_mut().unwrap().remove("etag");
    transcript
}

/// Returns the transcript of a recording of `seconds` that was not interrupted.
async fn uninterrupted(seconds: usize) -> Value {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), seconds);
    fleet.submit("a.wav").await;
    let (_, _, root) = fleet.run().await;
    transcript(root.path().join("out/a.wav.json"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_loses_no_window_that_was_finished() {
    const STOPS: usize = 5;
    let (calls, script) = counted(Duration::from_millis(20));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 1200);
    let job = fleet.submit("a.wav").await;
    for stop in 1..=STOPS {
        let config = worker::WorkerConfig { drain_seconds: 0, ..fleet.config() };
        let drain = CancellationToken::new();
        let before = calls.load(Ordering::SeqCst);
        let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
        let some = async || calls.load(Ordering::SeqCst) >= before + 4;
        wait_until("some windows are computed", some).await;
        drain.cancel();
        assert_eq!(running.await.unwrap().unwrap().released, 1);
        assert!(checkpoints(&fleet, &job).len() >= stop, "at least one for each run");
    }
    let (out, records) = (fleet.path("out/a.wav.json"), fleet.records(&job));
    let (summary, _, _root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (1, 0));
    let (computed, all) = (calls.load(Ordering::SeqCst), windows(1200).await);
    // The window that is being computed when the worker stops is lost.
    assert!((all..=all + STOPS).contains(&computed), "{computed} of {all}");
    assert_eq!(transcript(out), uninterrupted(1200).await);
    assert_eq!(fs::read_dir(records.join("checkpoint")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_recording_leaves_no_trace() {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 60);
    let job = fleet.submit("a.wav").await;
    let records = fleet.records(&job);
    let (summary, _, _root) = fleet.run().await;
    assert_eq!(summary.done, 1);
    assert!(!records.join("checkpoint").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_up_leaves_no_checkpoint() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let fleet = Fleet::new(move |call| {
        counter.fetch_add(1, Ordering::SeqCst);
        assert!(call < 5, "on purpose");
    });
    write_speech(&fleet.path("a.wav"), 600);
    let job = fleet.submit("a.wav").await;
    let records = fleet.records(&job);
    let (summary, _, _root) = fleet.run().await;
    assert_eq!((summary.retried, summary.failed), (2, 1));
    // Five windows once, and in each of three attempts the next one or two.
    let calls = calls.load(Ordering::SeqCst);
    assert!((8..=11).contains(&calls), "{calls}");
    assert_eq!(fs::read_dir(records.join("checkpoint")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checkpoints_every_attempt_begins_again() {
    let (calls, script) = counted(Duration::from_millis(20));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 600);
    let job = fleet.submit("a.wav").await;
    let config = worker::WorkerConfig { drain_seconds: 0, checkpoint_seconds: 0, ..fleet.config() };
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    let some = async || calls.load(Ordering::SeqCst) >= 4;
    wait_until("some windows are computed", some).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    assert!(checkpoints(&fleet, &job).is_empty());
    fleet.run().await;
    assert!(calls.load(Ordering::SeqCst) >= windows(600).await + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_left_under_the_name_of_a_checkpoint_is_ignored_and_deleted() {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 300);
    let job = fleet.submit("a.wav").await;
    let folder = fleet.records(&job).join("checkpoint");
    fs::create_dir_all(&folder).unwrap();
    let foreign = r#"{"version":1,"etag":"1-2","fingerprint":"0","windows":0,"sha256":""}"#;
    for (number, junk) in ["", "{", foreign].into_iter().enumerate() {
        fs::write(folder.join(format!("{}.x-00000{number}.jsonl", job.id)), junk).unwrap();
    }
    let another = folder.join("another-job.x-000000.jsonl");
    fs::write(&another, "").unwrap();
    let lease =
        fleet.queue.consume(Origin::Jobs(Lane::Normal), 1).await.unwrap().next().await.unwrap();
    let counts = Counts::default().attempted();
    lease.forward(Destination::Returned, counts).await.unwrap();
    let (summary, _, _root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (1, 0));
    assert_eq!(calls.load(Ordering::SeqCst), windows(300).await);
    assert!(another.exists());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_holders_the_second_one_stops_when_the_first_is_done() {
    let (slow_calls, slow) = counted(Duration::from_millis(300));
    let (fast_calls, fast) = counted(Duration::from_millis(60));
    let mut fleet = Fleet::new(slow);
    write_speech(&fleet.path("a.wav"), 1200);
    let job = fleet.submit("a.wav").await;
    let config = worker::WorkerConfig { checkpoint_seconds: 1, ..fleet.config() };
    let drain = CancellationToken::new();
    let second = tokio::spawn(fleet.worker_with(config.clone()).run(drain.clone()));
    wait_until("the job runs", async || slow_calls.load(Ordering::SeqCst) > 0).await;
    // A copy of the message goes to a worker that is faster.
    fleet.recognizer = support::scripted(fast);
    fleet.queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
    let first = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    wait_until("the job is done", async || fleet.is_done(&job)).await;
    let written = fs::read(fleet.path("out/a.wav.json")).unwrap();
    wait_until("both messages are gone", async || fleet.is_empty().await).await;
    drain.cancel();
    for worker in [first, second] {
        let summary = worker.await.unwrap().unwrap();
        assert_eq!((summary.done, summary.failed, summary.released), (1, 0, 0), "{summary:?}");
    }
    let all = windows(1200).await;
    assert_eq!(fast_calls.load(Ordering::SeqCst), all);
    assert!(slow_calls.load(Ordering::SeqCst) < all, "the second holder has stopped");
    assert_eq!(fs::read(fleet.path("out/a.wav.json")).unwrap(), written);
    assert_eq!(checkpoints(&fleet, &job), [""; 0]);
    assert!(!fleet.is_running(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_earlier_success_stops_no_run_that_has_work() {
    let (calls, script) = counted(Duration::from_millis(150));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 600);
    let job = fleet.submit("a.wav").await;
    // The recording was replaced since, and its transcript is not there.
    let done = Done {
        job: None,
        version: RECORDS_VERSION,
        source: job.source.to_string(),
        transcript: String::new(),
        up_to_date: false,
        audio_seconds: 1.0,
        cpu_seconds: 1.0,
        worker: "earlier".to_owned(),
        finished_at: "2026-11-25T10:00:00Z".to_owned(),
    };
    Ledger::new(fleet.stores()).done(&job, &done, true).await.unwrap();
    let config = worker::WorkerConfig { checkpoint_seconds: 1, ..fleet.config() };
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    let written = async || fleet.path("out/a.wav.json").exists();
    wait_until("the transcript is written", written).await;
    wait_until("the message is gone", async || fleet.is_empty().await).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), windows(600).await);
    assert!(checkpoints(&fleet, &job).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_goes_on_where_it_was_and_a_cancelled_one_leaves_nothing() {
    let (calls, script) = counted(Duration::from_millis(60));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 1200);
    let job = fleet.submit("a.wav").await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    let output = fleet.uri("out").parse().unwrap();
    let batch = BatchLedger::new(fleet.stores(), &output, job.batch.as_ref().unwrap());
    let pause = async |batch: &BatchLedger, job: &Job, calls_before: usize| {
        let some = async || calls.load(Ordering::SeqCst) >= calls_before + 4;
        wait_until("some windows are computed", some).await;
        batch.set_control(BatchControl::Paused).await.unwrap();
        let held = async || fleet.queue.depth().await.unwrap().held == 1;
        wait_until("the job is held", held).await;
        assert!(!checkpoints(&fleet, job).is_empty());
    };
    pause(&batch, &job, 0).await;
    let before = calls.load(Ordering::SeqCst);
    batch.set_control(BatchControl::Active).await.unwrap();
    // The worker's knowledge of the batch is at most a second old.
    let resumed = async || {
        fleet.queue.release_held(&|_| true).await.unwrap();
        calls.load(Ordering::SeqCst) > before
    };
    wait_until("the job runs again", resumed).await;
    wait_until("the job is done", async || fleet.is_done(&job)).await;
    // A message that is leased is in no queue.
    let cleared = async |job: &Job| checkpoints(&fleet, job).is_empty();
    wait_until("its checkpoints are deleted", async || cleared(&job).await).await;
    let all = windows(1200).await;
    let computed = calls.load(Ordering::SeqCst);
    assert!((all..=all + 1).contains(&computed), "{computed} of {all}");

    write_speech(&fleet.path("b.wav"), 1200);
    let job = fleet.job("b.wav", JobOptions::default());
    let batch = BatchLedger::new(fleet.stores(), &output, job.batch.as_ref().unwrap());
    fleet.queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
    pause(&batch, &job, computed).await;
    batch.set_control(BatchControl::Cancelled).await.unwrap();
    let cancelled = async || {
        // Until the worker knows, it holds the job again.
        fleet.queue.release_held(&|_| true).await.unwrap();
        cleared(&job).await
    };
    wait_until("the job is cancelled and its checkpoints are deleted", cancelled).await;
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.done, summary.failed), (1, 0), "{summary:?}");
}
