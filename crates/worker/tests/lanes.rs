//! Tests of lanes, long recordings, and batches that are paused or cancelled.

#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use job::{Job, JobOptions};
use ledger::{BatchControl, BatchLedger};
use queue::{Lane, Message, Queue, QueueDepth};
use support::{Fleet, counted, wait_until, write_speech};
use tokio_util::sync::CancellationToken;
use worker::WorkerConfig;

impl Fleet {
    async fn submit_to(&self, name: &str, lane: Lane) -> Job {
        let job = self.job(name, JobOptions::default());
        let message = Message { lane, ..Message::new(job.id.clone(), job.to_vec()) };
        self.queue.publish(message).await.unwrap();
        job
    }

    fn ledger(&self, job: &Job) -> BatchLedger {
        BatchLedger::new(
            self.stores(),
            &self.uri("out").parse().unwrap(),
            job.batch.as_ref().unwrap(),
        )
    }

    fn long_after_a_minute(&self) -> WorkerConfig {
        WorkerConfig { long_seconds: 60, ..self.config() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_recording_does_not_wait_for_long_ones() {
    let (_, script) = counted(Duration::from_millis(20));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("long.wav"), 1200);
    write_speech(&fleet.path("short.wav"), 10);
    let mut long = Vec::new();
    for lane in [Lane::Normal, Lane::Normal, Lane::Normal, Lane::Normal] {
        long.push(fleet.submit_to("long.wav", lane).await);
    }
    let short = fleet.submit_to("short.wav", Lane::Normal).await;
    let drain = CancellationToken::new();
    let worker = fleet.worker_with(fleet.long_after_a_minute());
    let running = tokio::spawn(worker.run(drain.clone()));
    wait_until("the short one is done", async || fleet.is_done(&short)).await;
    assert!(!long.iter().any(|job| fleet.is_done(job)), "it was the last in the queue");
    for job in &long {
        wait_until("a long one is done", async || fleet.is_done(job)).await;
    }
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.long, summary.done, summary.failed), (4, 5, 0));
    assert!(fleet.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lane_waits_for_another() {
    let (calls, script) = counted(Duration::from_millis(20));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 600);
    let mut bulk = Vec::new();
    for _ in 0..5 {
        bulk.push(fleet.submit_to("a.wav", Lane::Bulk).await);
    }
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    wait_until("bulk jobs run", async || calls.load(Ordering::SeqCst) > 0).await;
    write_speech(&fleet.path("b.wav"), 60);
    let urgent = fleet.submit_to("b.wav", Lane::Urgent).await;
    wait_until("the urgent one is done", async || fleet.is_done(&urgent)).await;
    assert!(!bulk.iter().all(|job| fleet.is_done(job)));
    wait_until("all are done", async || bulk.iter().all(|job| fleet.is_done(job))).await;
    drain.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_the_lanes_that_it_is_told_to() {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    let bulk = fleet.submit_to("a.wav", Lane::Bulk).await;
    let urgent = fleet.submit_to("a.wav", Lane::Urgent).await;
    let drain = CancellationToken::new();
    let config = WorkerConfig { lanes: vec![Lane::Urgent], ..fleet.config() };
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    wait_until("the urgent one is done", async || fleet.is_done(&urgent)).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    assert!(!fleet.is_done(&bulk));
    assert_eq!(fleet.queue.depth().await.unwrap(), QueueDepth { ready: 1, ..Default::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_batch_is_held_until_it_is_resumed() {
    let (calls, script) = counted(Duration::from_millis(100));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 1200);
    let job = fleet.submit_to("a.wav", Lane::Bulk).await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    wait_until("it runs", async || calls.load(Ordering::SeqCst) > 0).await;
    let ledger = fleet.ledger(&job);
    ledger.set_control(BatchControl::Paused).await.unwrap();
    let held = QueueDepth { held: 1, ..QueueDepth::default() };
    let depth = async || fleet.queue.depth().await.unwrap();
    wait_until("it is held", async || depth().await == held).await;
    assert!(!fleet.is_running(&job) && !fleet.is_done(&job));
    // What is queued is held as well, without being run.
    let interrupted_after = calls.load(Ordering::SeqCst);
    fleet.queue.release_held(&|_| true).await.unwrap();
    wait_until("it is held again", async || depth().await == held).await;
    assert_eq!(calls.load(Ordering::SeqCst), interrupted_after);

    ledger.set_control(BatchControl::Active).await.unwrap();
    assert_eq!(ledger.control().await.unwrap(), BatchControl::Active);
    tokio::time::sleep(Duration::from_secs(1)).await; // the answer may be a second old
    assert_eq!(fleet.queue.release_held(&|message| message.id == job.id).await.unwrap(), 1);
    wait_until("it runs again", async || fleet.is_running(&job)).await;
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.held, summary.failed, summary.retried), (2, 0, 0), "{summary:?}");
    assert!(fleet.is_done(&job), "the drain gives it time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_batch_is_dropped() {
    let (calls, script) = counted(Duration::from_millis(100));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 1200);
    let first = fleet.submit_to("a.wav", Lane::Normal).await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    wait_until("it runs", async || fleet.is_running(&first)).await;
    let ledger = fleet.ledger(&first);
    ledger.set_control(BatchControl::Cancelled).await.unwrap();
    wait_until("it is dropped", async || fleet.is_empty().await).await;
    wait_until("it has ended", async || !fleet.is_running(&first)).await;
    let interrupted_after = calls.load(Ordering::SeqCst);
    fleet.queue.publish(Message::new(first.id.clone(), first.to_vec())).await.unwrap();
    wait_until("it is dropped as well", async || fleet.is_empty().await).await;
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.cancelled, summary.done, summary.failed), (2, 0, 0), "{summary:?}");
    assert_eq!(calls.load(Ordering::SeqCst), interrupted_after);
    assert!(!fleet.is_done(&first) && !fleet.path("out/a.wav.json").exists());
}
