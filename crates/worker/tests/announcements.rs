//! Tests of what a worker announces.

#![allow(clippy::unwrap_used)]

mod support;

use queue::{Message, Queue};
use serde_json::Value;
use support::{Fleet, wait_until, write_speech};
use tokio_util::sync::CancellationToken;
use worker::{Announcements, WorkerConfig};

/// Runs a good job and one without a recording; returns the announcements, by topic.
async fn announced(events: Announcements) -> Vec<(String, Value)> {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    for name in ["a.wav", "missing.wav"] {
        let job = fleet.job(name, job::JobOptions::default());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        let message = Message { trace, ..Message::new(job.id.clone(), job.to_vec()) };
        fleet.queue.publish(message).await.unwrap();
    }
    let drain = CancellationToken::new();
    let config = WorkerConfig { events, ..fleet.config() };
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    let settled = queue::QueueDepth { dead: 1, ..queue::QueueDepth::default() };
    wait_until("both are settled", async || fleet.queue.depth().await.unwrap() == settled).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    let mut announced: Vec<_> = fleet
        .queue
        .take_announcements()
        .into_iter()
        .map(|announcement| {
            assert_eq!(announcement.content_type, worker::CONTENT_TYPE);
            (announcement.topic, serde_json::from_slice(&announcement.body).unwrap())
        })
        .collect();
    announced.sort_by(|a, b| a.0.cmp(&b.0));
    announced
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_each_job_is_a_cloud_event() {
    for events in [Announcements::Sent, Announcements::Confirmed] {
        let announced = announced(events).await;
        let topics: Vec<_> = announced.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(topics, ["job.done", "job.failed"]);
        for (topic, event) in &announced {
            let job = event["data"]["job"].as_str().unwrap();
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["id"], format!("{job}.{topic}"));
            assert_eq!(event["type"], format!("scriptorium.{topic}"));
            assert_eq!(event["subject"], job);
            assert!(event["source"].as_str().unwrap().contains("/.scriptorium/"), "{event}");
            assert!(event["traceparent"].as_str().unwrap().starts_with("00-0af7"), "{event}");
            assert_eq!(event["data"]["lane"], "normal");
        }
        let [(_, done), (_, failed)] = announced.as_slice() else { panic!("{announced:?}") };
        assert!(done["data"]["transcript"].as_str().unwrap().ends_with("out/a.wav.json"), "{done}");
        assert_eq!(done["data"]["audio_seconds"], 3.0);
        assert_eq!(
            (&failed["data"]["code"], &failed["data"]["attempts"]),
            (&"source_missing".into(), &1.into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_announced_by_default() {
    assert_eq!(announced(Announcements::default()).await, []);
}
