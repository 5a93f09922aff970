//! Tests of who is told that a batch is over.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/receiver.rs"]
mod receiver;
mod support;

use std::time::{Duration, Instant};

use job::{
    Batch, BatchId, Delivery, Input, Job, JobOptions, Notification, Submission, Watch,
    WebhookRecord,
};
use ledger::{BatchControl, BatchLedger};
use notify::{NotifyConfig, Secret, Webhooks};
use queue::{Announcement, Counts, Destination, Message, Origin, Queue};
use receiver::Receiver;
use serde_json::Value;
use support::{Fleet, wait_until, write_speech};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{Announcements, Summary, WorkerConfig};

/// A batch that is watched.
struct Watched {
    fleet: Fleet,
    watch: Watch,
    ledger: BatchLedger,
}

impl Watched {
    /// Begins a batch with so many jobs.
    async fn new(jobs: u64, notify: Option<String>) -> Self {
        Self::of_batch(Fleet::new(|_| {}), BatchId::generate(), jobs, notify).await
    }

    async fn of_batch(fleet: Fleet, id: BatchId, jobs: u64, notify: Option<String>) -> Self {
        let output = fleet.uri("out");
        let ledger = BatchLedger::new(fleet.stores(), &output.parse().unwrap(), &id);
        let batch = Batch::new(Vec::new(), output.clone());
        let batch = Batch { id: id.clone(), jobs: Some(jobs), ..batch };
        ledger.write_batch(&batch).await.unwrap();
        let submission = Submission::new(id, output, Input::Paths(Vec::new()));
        let submission = Submission { notify, ..submission };
        let watch = Watch::of(&submission, OffsetDateTime::now_utc());
        Self { fleet, watch, ledger }
    }

    async fn publish(&self) {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        let message = Message::new(self.watch.id(), self.watch.to_vec());
        self.fleet.queue.publish_watch(Message { trace, ..message }).await.unwrap();
    }

    /// Starts a worker, which runs until the token is cancelled.
    fn start(
        &self,
        events: Announcements,
        webhooks: Webhooks,
    ) -> (CancellationToken, JoinHandle<Summary>) {
        let drain = CancellationToken::new();
        let config = WorkerConfig { events, ..self.fleet.config() };
        let worker = self.fleet.worker_with(config).with_webhooks(webhooks);
        let running = worker.run(drain.clone());
        (drain, tokio::spawn(async move { running.await.unwrap() }))
    }

    /// Runs a worker until everybody is told; returns what it has announced.
    async fn run(&self, events: Announcements, webhooks: Webhooks) -> Vec<Announcement> {
        let (drain, running) = self.start(events, webhooks);
        self.wait_until_told().await;
        drain.cancel();
        running.await.unwrap();
        self.announced()
    }

    /// Runs workers until no watch is left, of which nobody is told; returns what they have announced.
    async fn run_until_dropped(&self, events: Announcements) -> Vec<Announcement> {
        loop {
            let (drain, running) = self.start(events, Webhooks::off());
            // It does not count a watch that is leased, which may go back.
            wait_until("no watch waits", async || self.fleet.is_empty().await).await;
            drain.cancel();
            running.await.unwrap();
            if self.fleet.is_empty().await {
                return self.announced();
            }
        }
    }

    async fn wait_until_told(&self) {
        wait_until("everybody is told", async || {
            self.record().await.is_some_and(|record| record.complete)
        })
        .await;
    }

    fn announced(&self) -> Vec<Announcement> {
        let mut announced = self.fleet.queue.take_announcements();
        announced.retain(|announcement| announcement.topic.starts_with("batch."));
        announced
    }

    async fn record(&self) -> Option<Notification> {
        self.ledger.notification(&self.watch.submission).await.unwrap()
    }

    async fn webhook(&self) -> WebhookRecord {
        self.record().await.unwrap().webhook.unwrap()
    }
}

/// Returns a configuration that allows this machine.
fn config(hosts: &[String]) -> NotifyConfig {
    NotifyConfig {
        hosts: hosts.to_vec(),
        secret: Some(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        allow_private: true,
        allow_http: true,
    }
}

/// Returns webhooks to one server on this machine.
fn webhooks(receiver: &Receiver) -> Webhooks {
    Webhooks::new(&config(&[receiver.address.to_string()])).unwrap()
}

fn url(receiver: &Receiver) -> Option<String> {
    Some(format!("http://{}/hook?token=s3cret", receiver.address))
}

/// The jobs of the batch run while it is watched; it is told of as an event and by a webhook, which are the
/// same, and once, also if the watch comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_batch_is_told_once() {
    let receiver = Receiver::start(|_| Some("204 No Content"));
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    let good = fleet.job("a.wav", JobOptions::default());
    let (batch, records) = (good.batch.clone().unwrap(), good.records_prefix());
    let missing = Job::new(
        batch.clone(),
        fleet.uri("b.wav"),
        fleet.uri("out/b.wav"),
        records.clone(),
        JobOptions::default(),
    );
    let watched = Watched::of_batch(fleet, batch, 2, url(&receiver)).await;
    watched.publish().await;
    let webhooks = webhooks(&receiver);
    let (drain, running) = watched.start(Announcements::Confirmed, webhooks);
    let queue = &watched.fleet.queue;
    for job in [good, missing] {
        queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
    }
    watched.wait_until_told().await;
    drain.cancel();
    running.await.unwrap();
    let announced = watched.announced();
    queue.take_dead_letters(1).await.unwrap();
    watched.publish().await;
    assert_eq!(watched.run_until_dropped(Announcements::Confirmed).await, []);

    let [event] = announced.as_slice() else { panic!("{announced:?}") };
    assert_eq!(event.topic, "batch.completed");
    let requests = receiver.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.target, "/hook?token=s3cret");
    assert_eq!(request.body, event.body);
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("content-type"), "application/cloudevents+json");
    let submission = &watched.watch.submission;
    assert_eq!(header("webhook-id"), format!("batch-completed-{submission}"));
    assert!(header("webhook-signature").starts_with("v1,"));

    let event: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(event["id"], format!("{submission}.batch.completed"));
    assert_eq!(event["type"], "scriptorium.batch.completed");
    assert_eq!((&event["source"], &event["subject"]), (&records.into(), &event["data"]["batch"]));
    assert!(event["traceparent"].as_str().unwrap().starts_with("00-0af7"), "{event}");
    let data = &event["data"];
    let counts = ["jobs", "done", "failed", "cancelled"].map(|name| data[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1, 0], "{event}");
    assert_eq!(data["audio_seconds"], 3.0, "all workers have counted: {event}");
    assert_eq!(data["failed_by_code"]["source_missing"], 1, "{event}");

    let record = watched.record().await.unwrap();
    assert!(record.complete && record.announced_at.is_some(), "{record:?}");
    let webhook = record.webhook.unwrap();
    assert_eq!((webhook.state, webhook.attempts), (Delivery::Delivered, 1));
    assert_eq!(webhook.last_answer.as_deref(), Some("HTTP 204"));
    assert!(webhook.url.ends_with("/hook"), "without its query: {}", webhook.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_trouble_is_asked_again() {
    let answer = |number: usize| Some(["503 Service Unavailable", "200 OK"][number.min(1)]);
    let receiver = Receiver::start(answer);
    let watched = Watched::new(0, url(&receiver)).await;
    watched.publish().await;
    let start = Instant::now();
    watched.run(Announcements::Off, webhooks(&receiver)).await;
    assert!(start.elapsed() >= Duration::from_secs(4), "it was given time");
    let requests = receiver.requests();
    let [first, second] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert_eq!(first.body, second.body);
    let webhook = watched.webhook().await;
    assert_eq!((webhook.state, webhook.attempts), (Delivery::Delivered, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_want_it_is_left_alone() {
    for answer in ["410 Gone", "404 Not Found", "302 Found\r\nLocation: http://127.0.0.1:1/"] {
        let receiver = Receiver::start(move |_| Some(answer));
        let watched = Watched::new(0, url(&receiver)).await;
        watched.publish().await;
        watched.run(Announcements::Off, webhooks(&receiver)).await;
        assert_eq!(receiver.requests().len(), 1);
        let webhook = watched.webhook().await;
        assert_eq!((webhook.state, webhook.attempts), (Delivery::GivenUp, 1));
        assert!(webhook.last_answer.unwrap().contains(&answer[..3]), "{answer}");
    }
}

/// The worker decides, whatever the submitter has checked. A name is checked where it leads to.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_go_only_where_the_configuration_allows() {
    let receiver = Receiver::start(|_| Some("200 OK"));
    let port = receiver.address.port();
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
    let open = config(&hosts);
    let closed = NotifyConfig { allow_private: false, ..open.clone() };
    let no_http = NotifyConfig { allow_http: false, ..open.clone() };
    let elsewhere = config(&["hooks.example.org".to_owned()]);
    for (config, host, reason) in [
        (&closed, "127.0.0.1", "notify.allow_private"),
        (&closed, "0x7f.1", "notify.allow_private"),
        (&closed, "localhost", "notify.allow_private"),
        (&closed, "[::1]", "notify.allow_private"),
        (&no_http, "127.0.0.1", "notify.allow_http"),
        (&elsewhere, "127.0.0.1", "notify.hosts"),
        (&NotifyConfig::default(), "127.0.0.1", "notify.hosts is empty"),
    ] {
        let watched = Watched::new(0, Some(format!("http://{host}:{port}/"))).await;
        watched.publish().await;
        watched.run(Announcements::Off, Webhooks::new(config).unwrap()).await;
        let webhook = watched.webhook().await;
        assert_eq!(webhook.state, Delivery::GivenUp, "{host}");
        let answer = webhook.last_answer.unwrap();
        assert!(answer.contains(reason), "{host}: {answer}");
    }
    assert!(receiver.requests().is_empty());
    let watched = Watched::new(0, Some(format!("http://localhost:{port}/"))).await;
    watched.publish().await;
    watched.run(Announcements::Off, Webhooks::new(&open).unwrap()).await;
    assert_eq!(watched.webhook().await.state, Delivery::Delivered);
}

/// A server that says nothing holds no worker up, and the watch is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_gives_the_watch_back() {
    let receiver = Receiver::start(|number| (number > 0).then_some("200 OK"));
    let watched = Watched::new(0, url(&receiver)).await;
    watched.publish().await;
    let (drain, running) = watched.start(Announcements::Off, webhooks(&receiver));
    wait_until("the server is asked", async || !receiver.requests().is_empty()).await;
    drain.cancel();
    let start = Instant::now();
    running.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(watched.fleet.queue.depth().await.unwrap().watches, 1);
    watched.run(Announcements::Off, webhooks(&receiver)).await;
    assert_eq!(watched.webhook().await.state, Delivery::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_over_is_watched_on() {
    let receiver = Receiver::start(|_| Some("200 OK"));
    let watched = Watched::new(3, url(&receiver)).await;
    watched.ledger.set_control(BatchControl::Paused).await.unwrap();
    watched.publish().await;
    let (drain, running) = watched.start(Announcements::Sent, webhooks(&receiver));
    let queue = &watched.fleet.queue;
    wait_until("it waits for the next look", async || {
        let mut consumer = queue.consume(Origin::Watches, 1).await.unwrap();
        match tokio::time::timeout(Duration::from_millis(50), consumer.next()).await {
            Ok(lease) => {
                let lease = lease.unwrap();
                lease.forward(Destination::Returned, Counts::default()).await.unwrap();
                false
            }
            Err(_) => queue.depth().await.unwrap().watches == 1,
        }
    })
    .await;
    assert!(receiver.requests().is_empty());
    drain.cancel();
    running.await.unwrap();
    assert_eq!(watched.record().await, None);

    watched.ledger.set_control(BatchControl::Cancelled).await.unwrap();
    watched.publish().await;
    let (drain, running) = watched.start(Announcements::Sent, webhooks(&receiver));
    wait_until("it is told", async || !receiver.requests().is_empty()).await;
    drain.cancel();
    running.await.unwrap();
    let record = watched.record().await.unwrap();
    assert_eq!(record.end.unwrap().cancelled, 3);
    assert_eq!(queue.take_announcements().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_need_no_webhook_and_nobody_is_told_without_either() {
    let watched = Watched::new(0, None).await;
    watched.publish().await;
    assert_eq!(watched.run_until_dropped(Announcements::Off).await, []);
    assert_eq!(watched.record().await, None);
    watched.publish().await;
    assert_eq!(watched.run(Announcements::Sent, Webhooks::off()).await.len(), 1);
    let record = watched.record().await.unwrap();
    assert!(record.complete && record.webhook.is_none(), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_ends() {
    // Its records are gone.
    let watched = Watched::new(0, None).await;
    std::fs::remove_dir_all(watched.fleet.path("out")).unwrap();
    watched.publish().await;
    assert_eq!(watched.run_until_dropped(Announcements::Sent).await, []);
    assert_eq!(watched.record().await, None);

    // It has been watched for too long.
    let receiver = Receiver::start(|_| Some("200 OK"));
    let mut watched = Watched::new(1, url(&receiver)).await;
    watched.watch.since -= Duration::from_secs(31 * 24 * 3600);
    watched.publish().await;
    assert_eq!(watched.run(Announcements::Sent, webhooks(&receiver)).await, []);
    let record = watched.record().await.unwrap();
    assert_eq!((record.complete, record.over_at), (true, None));
    assert_eq!(record.webhook.unwrap().state, Delivery::GivenUp);
    assert!(receiver.requests().is_empty());

    // Others may publish anything.
    let mut elsewhere = Watched::new(0, None).await;
    elsewhere.watch.output = "file:///etc".to_owned();
    elsewhere.publish().await;
    let queue = &elsewhere.fleet.queue;
    queue.publish_watch(Message::new("x", "not a watch")).await.unwrap();
    let (drain, running) = elsewhere.start(Announcements::Sent, Webhooks::off());
    wait_until("both are given up", async || queue.depth().await.unwrap().dead == 2).await;
    drain.cancel();
    running.await.unwrap();
    let mut codes: Vec<_> = queue
        .take_dead_letters(2)
        .await
        .unwrap()
        .into_iter()
        .map(|letter| letter.reason.code)
        .collect();
    codes.sort();
    assert_eq!(codes, ["output_not_allowed", "watch_invalid"]);
}
