//! Failures that only a broker can cause: outages, refusals, deleted queues, foreign messages.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeleteOptions},
};
use queue::{
    AmqpConfig, AmqpQueue, Announcement, Counts, DeadLetter, DeadLetterReason, Destination,
    ErrorKind, Lane, Message, Origin, Queue, QueueDepth,
};
use support::{PAUSE, Proxy, SOON, broker, config, delete_queues, expect_depth, lease, message};
use tokio::time::{sleep, timeout};

const JOBS: Origin = Origin::Jobs(Lane::Normal);

/// Opens a channel of another client.
async fn foreign_channel(broker: &str) -> Channel {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn delete(broker: &str, queue: String) {
    let options = QueueDeleteOptions::default();
    foreign_channel(broker).await.queue_delete(queue.into(), options).await.unwrap();
}

async fn publish_from_another_client(broker: &str, queue: String, body: &[u8]) {
    foreign_channel(broker)
        .await
        .basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default(),
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_a_broker_that_is_down_at_the_start() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let proxy = Proxy::start(&broker).await;
    let url = proxy.url(&broker).parse().unwrap();
    let address = proxy.stop().await;

    let connecting = tokio::spawn(AmqpQueue::connect(AmqpConfig { url, ..config.clone() }));
    sleep(Duration::from_secs(1)).await;
    assert!(!connecting.is_finished());
    let _proxy = Proxy::start_at(&broker, address).await;
    let queue = timeout(SOON, connecting).await.unwrap().unwrap().unwrap();
    queue.publish(message("a")).await.unwrap();
    queue.delete_queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_up_on_a_broker_that_stays_down() {
    // This needs no broker: one port is closed, the other accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for address in [closed, silent.local_addr().unwrap()] {
        let mut config = config(&format!("amqp://ann:s3cret@{address}/%2f"));
        config.connect_timeout_seconds = Some(2);
        let start = Instant::now();
        let error = AmqpQueue::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
        let message = format!("{error:#}");
        assert!(message.contains(&address.to_string()), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_denied_at_once() {
    let Some(broker) = broker() else { return };
    let at = broker.rfind('@').unwrap();
    for url in [
        format!("amqp://nobody:wrong{}", &broker[at..]),
        format!("{}no-such-virtual-host", &broker[..=broker.rfind('/').unwrap()]),
    ] {
        let start = Instant::now();
        let error = AmqpQueue::connect(config(&url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:#}");
        assert!(!error.is_transient());
        assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_with_other_properties_are_a_mismatch() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    AmqpQueue::connect(config.clone()).await.unwrap();
    let other = AmqpConfig { delivery_limit: 4, ..config.clone() };
    let error = AmqpQueue::connect(other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let named = error.to_string().contains(&format!("queue {}.", config.prefix));
    assert!(named && error.to_string().contains("other than configured"), "{error}");
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_queue_is_unroutable() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    queue.publish(message("a")).await.unwrap();
    delete(&broker, format!("{}.jobs", config.prefix)).await;
    let outcomes: Vec<_> = stream::iter(0..20)
        .map(|n| {
            let queue = &queue;
            async move { queue.publish(message(&n.to_string())).await }
        })
        .buffer_unordered(20)
        .collect()
        .await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unroutable);
    }
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_cannot_be_published_stays_a_job() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    queue.publish(message("a")).await.unwrap();
    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    let leased = lease(&mut consumer).await;
    delete(&broker, format!("{}.dead", config.prefix)).await;
    let reason = DeadLetterReason { code: "x".into(), detail: String::new() };
    let forwarded = leased.forward(Destination::Dead(reason), Counts::default()).await;
    assert_eq!(forwarded.unwrap_err().kind(), ErrorKind::Unroutable);
    assert!(lease(&mut consumer).await.is_redelivered());
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_survives_an_outage() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let proxy = Proxy::start(&broker).await;
    let url = proxy.url(&broker).parse().unwrap();
    let queue = AmqpQueue::connect(AmqpConfig { url, ..config.clone() }).await.unwrap();
    let queue = std::sync::Arc::new(queue);

    let publishing = tokio::spawn({
        let queue = queue.clone();
        async move {
            stream::iter(0..2000)
                .map(|n| {
                    let queue = queue.clone();
                    async move { queue.publish(message(&n.to_string())).await }
                })
                .buffer_unordered(100)
                .try_collect::<()>()
                .await
        }
    });
    sleep(Duration::from_millis(100)).await;
    let address = proxy.stop().await;
    sleep(Duration::from_secs(1)).await;
    let _proxy = Proxy::start_at(&broker, address).await;
    publishing.await.unwrap().unwrap();

    // Delivery is at least once: messages in flight when the connection broke may come twice.
    let mut consumer = queue.consume(JOBS, 200).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2000 {
        let leased = lease(&mut consumer).await;
        seen.insert(leased.message().id.clone());
        leased.ack().await.unwrap();
    }
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_gives_up_in_time() {
    let Some(broker) = broker() else { return };
    let config = AmqpConfig { publish_timeout_seconds: 2, ..config(&broker) };
    let proxy = Proxy::start(&broker).await;
    let url = proxy.url(&broker).parse().unwrap();
    let queue = AmqpQueue::connect(AmqpConfig { url, ..config.clone() }).await.unwrap();
    proxy.stop().await;
    let start = Instant::now();
    let error = queue.publish(message("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_continues_after_the_queue_was_deleted() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    queue.publish(message("a")).await.unwrap();
    lease(&mut consumer).await.ack().await.unwrap();
    let waiting = tokio::spawn(async move { lease(&mut consumer).await.message().clone() });
    delete(&broker, format!("{}.jobs", config.prefix)).await;
    sleep(PAUSE).await;
    let start = Instant::now();
    while let Err(error) = queue.publish(message("b")).await {
        assert_eq!(error.kind(), ErrorKind::Unroutable);
        assert!(start.elapsed() < SOON, "the queue is not declared again");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(waiting.await.unwrap(), message("b"));
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_survives_an_outage() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let proxy = Proxy::start(&broker).await;
    let url = proxy.url(&broker).parse().unwrap();
    let queue = AmqpQueue::connect(AmqpConfig { url, ..config.clone() }).await.unwrap();
    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    queue.publish(message("a")).await.unwrap();
    lease(&mut consumer).await.ack().await.unwrap();
    let address = proxy.stop().await;
    sleep(Duration::from_secs(1)).await;
    let proxy = Proxy::start_at(&broker, address).await;
    let mut published = vec![message("a")];
    for id in ["b", "c"] {
        queue.publish(message(id)).await.unwrap();
        published.push(message(id));
        // Delivery is at least once: messages that were being published or acknowledged when the
        // connection broke may come again.
        loop {
            let leased = lease(&mut consumer).await;
            let found = leased.message().clone();
            assert!(published.contains(&found), "{found:?} was never published");
            leased.ack().await.unwrap();
            if found.id == id {
                break;
            }
        }
        proxy.disconnect();
    }
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_other_clients_are_accepted() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    publish_from_another_client(&broker, format!("{}.jobs", config.prefix), b"hello").await;
    publish_from_another_client(&broker, format!("{}.dead", config.prefix), b"bye").await;

    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    let leased = lease(&mut consumer).await;
    let without_properties = |body| Message::new("", Bytes::from_static(body));
    assert_eq!(*leased.message(), without_properties(b"hello"));
    leased.ack().await.unwrap();
    expect_depth(&queue, QueueDepth { dead: 1, ..QueueDepth::default() }).await;
    let letters = queue.take_dead_letters(1).await.unwrap();
    assert!(matches!(&letters[..], [DeadLetter { message, reason, .. }]
        if *message == without_properties(b"bye") && reason.code == "unknown"));
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_too_long_for_amqp_are_refused_or_truncated() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    assert_eq!(
        queue.publish(message(&"x".repeat(256))).await.unwrap_err().kind(),
        ErrorKind::Other
    );
    queue.publish(message(&"x".repeat(255))).await.unwrap();
    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    let reason = DeadLetterReason { code: "long".into(), detail: "é".repeat(200_000) };
    let leased = lease(&mut consumer).await;
    leased.forward(Destination::Dead(reason), Counts::default()).await.unwrap();
    expect_depth(&queue, QueueDepth { dead: 1, ..QueueDepth::default() }).await;
    let letters = queue.take_dead_letters(1).await.unwrap();
    assert!(letters[0].reason.detail.starts_with('é'));
    assert!(letters[0].reason.detail.len() < 20_000);
    delete_queues(config).await;
}

/// RabbitMQ closes the channel of a consumer that takes too long, half an hour by default. To
/// shorten that: `rabbitmqctl eval 'application:set_env(rabbit, consumer_timeout, 2000),
/// application:set_env(rabbit, channel_tick_interval, 1000).'`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a broker with a short consumer timeout"]
async fn a_lease_held_too_long_is_lost() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    queue.publish(message("slow")).await.unwrap();
    let mut consumer = queue.consume(JOBS, 1).await.unwrap();
    let held = lease(&mut consumer).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(held.ack().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    let again = lease(&mut consumer).await;
    assert!(again.is_redelivered());
    again.ack().await.unwrap();
    expect_depth(&queue, QueueDepth::default()).await;
    delete_queues(config).await;
}

/// Prints the rate of publishing:
/// `cargo test -p queue --test amqp -- --ignored --nocapture measure`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, checks nothing"]
async fn measure_publishing() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    let body = Bytes::from(vec![b'x'; 600]);
    for tasks in [1, 16, 256] {
        let count = if tasks == 1 { 1_000 } else { 100_000 };
        let start = Instant::now();
        stream::iter(0..count)
            .map(|n| queue.publish(Message::new(n.to_string(), body.clone())))
            .buffer_unordered(tasks)
            .try_collect::<()>()
            .await
            .unwrap();
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        println!("{tasks} tasks: {count} messages in {:?}, {rate:.0}/s", start.elapsed());
    }
    delete_queues(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_reach_whoever_has_bound_a_queue() {
    let Some(broker) = broker() else { return };
    let config = config(&broker);
    let queue = AmqpQueue::connect(config.clone()).await.unwrap();
    let announcement = |topic: &str| Announcement {
        topic: topic.to_owned(),
        content_type: "application/cloudevents+json".to_owned(),
        body: Bytes::from(topic.to_owned()),
    };
    // Nobody listens.
    queue.announce(announcement("job.done")).await.unwrap();
    let channel = foreign_channel(&broker).await;
    let name = format!("{}.listener", config.prefix);
    let options = lapin::options::QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), options, Default::default()).await.unwrap();
    let exchange = format!("{}.events", config.prefix);
    let bound = channel.queue_bind(
        name.as_str().into(),
        exchange.into(),
        "job.*".into(),
        Default::default(),
        Default::default(),
    );
    bound.await.unwrap();
    for topic in ["job.failed", "batch.done", "job.done"] {
        queue.announce(announcement(topic)).await.unwrap();
    }
    for topic in ["job.failed", "job.done"] {
        let got =
            channel.basic_get(name.as_str().into(), Default::default()).await.unwrap().unwrap();
        assert_eq!(got.delivery.data, topic.as_bytes());
        let content_type = got.delivery.properties.content_type().as_ref().unwrap().to_string();
        assert_eq!(content_type, "application/cloudevents+json");
    }
    delete_queues(config).await;
}
