//! The conformance suite of all queues. The AMQP queue is tested through a proxy that can break its
//! connections.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use queue::{AmqpConfig, AmqpQueue, DeadLetterReason, ErrorKind, MemoryQueue, Queue, QueueDepth};
use support::{PAUSE, Proxy, expect_depth, lease, message, no_lease};
use tokio::time::{Instant, sleep};

/// A new queue with a delivery limit of 3.
struct Subject {
    queue: Box<dyn Queue>,
    /// Breaks the connection of all leases.
    disconnect: Box<dyn Fn() + Send + Sync>,
}

fn memory_queue() -> Subject {
    let queue = MemoryQueue::with_delivery_limit(3);
    Subject { queue: Box::new(queue.clone()), disconnect: Box::new(move || queue.lose_leases()) }
}

async fn amqp_queue(broker: &str, config: &AmqpConfig) -> Subject {
    let proxy = Proxy::start(broker).await;
    let url = proxy.url(broker).parse().unwrap();
    let queue = AmqpQueue::connect(AmqpConfig { url, ..config.clone() }).await.unwrap();
    Subject { queue: Box::new(queue), disconnect: Box::new(move || proxy.disconnect()) }
}

impl Subject {
    async fn publish(&self, ids: &[&str]) {
        for id in ids {
            self.queue.publish(message(id)).await.unwrap();
        }
    }
}

async fn acknowledged_messages_are_deleted(subject: &Subject) {
    let queue = &*subject.queue;
    let mut sent = message("a \"job\" ✓");
    sent.body = (0..=255).collect::<Vec<u8>>().repeat(2000).into();
    sent.attempt = 7;
    queue.publish(sent.clone()).await.unwrap();
    expect_depth(queue, QueueDepth { ready: 1, ..QueueDepth::default() }).await;

    let mut consumer = queue.consume(4).await.unwrap();
    let leased = lease(&mut consumer).await;
    assert_eq!(*leased.message(), sent);
    assert_eq!(leased.redeliveries(), 0);
    leased.ack().await.unwrap();
    no_lease(&mut consumer).await;
    expect_depth(queue, QueueDepth::default()).await;
}

async fn messages_may_have_empty_bodies(subject: &Subject) {
    let mut sent = message("empty");
    sent.body = Vec::new().into();
    subject.queue.publish(sent.clone()).await.unwrap();
    let mut consumer = subject.queue.consume(1).await.unwrap();
    assert_eq!(*lease(&mut consumer).await.message(), sent);
}

async fn bounds_the_leases_in_flight(subject: &Subject) {
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = subject.queue.consume(2).await.unwrap();
    let first = lease(&mut consumer).await;
    let _second = lease(&mut consumer).await;
    no_lease(&mut consumer).await;
    first.ack().await.unwrap();
    let _third = lease(&mut consumer).await;
    assert_eq!(subject.queue.consume(0).await.unwrap_err().kind(), ErrorKind::Other);
}

async fn released_messages_come_back_and_are_counted(subject: &Subject) {
    subject.publish(&["a"]).await;
    let mut consumer = subject.queue.consume(1).await.unwrap();
    for releases in 0..2 {
        let leased = lease(&mut consumer).await;
        assert_eq!(leased.redeliveries(), releases);
        assert_eq!(leased.message().attempt, 0);
        leased.release().await.unwrap();
    }
    lease(&mut consumer).await.ack().await.unwrap();
    expect_depth(&*subject.queue, QueueDepth::default()).await;
}

async fn dropped_leases_are_released(subject: &Subject) {
    subject.publish(&["a"]).await;
    let mut consumer = subject.queue.consume(1).await.unwrap();
    drop(lease(&mut consumer).await);
    let again = lease(&mut consumer).await;
    assert_eq!(again.redeliveries(), 1);
    again.ack().await.unwrap();
    no_lease(&mut consumer).await;
}

async fn retried_messages_come_back_later(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a"]).await;
    let mut consumer = queue.consume(1).await.unwrap();
    let mut leased = lease(&mut consumer).await;
    for attempt in 1..3 {
        let start = Instant::now();
        let delay = Duration::from_secs(1);
        leased.retry(delay).await.unwrap();
        expect_depth(queue, QueueDepth { delayed: 1, ..QueueDepth::default() }).await;
        leased = lease(&mut consumer).await;
        assert!(start.elapsed() >= delay, "came back after {:?}", start.elapsed());
        assert_eq!((leased.message().attempt, leased.redeliveries()), (attempt, 0));
        assert_eq!(leased.message().body, message("a").body);
    }
    leased.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn dead_letters_keep_their_reason(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = queue.consume(3).await.unwrap();
    for id in ["a", "b", "c"] {
        let leased = lease(&mut consumer).await;
        assert_eq!(leased.message().id, id);
        let detail = format!("no such object: «{id}»\n");
        leased
            .dead_letter(DeadLetterReason { code: "source_missing".into(), detail })
            .await
            .unwrap();
    }
    expect_depth(queue, QueueDepth { dead: 3, ..QueueDepth::default() }).await;

    let first = queue.take_dead_letters(2).await.unwrap();
    let rest = queue.take_dead_letters(100).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|letter| &*letter.message.id).collect();
    assert_eq!((ids, first.len()), (vec!["a", "b", "c"], 2));
    assert_eq!(rest[0].message, message("c"));
    let expected = DeadLetterReason {
        code: "source_missing".into(),
        detail: "no such object: «c»\n".into(),
    };
    assert_eq!(rest[0].reason, expected);
    assert!(queue.take_dead_letters(1).await.unwrap().is_empty());
    expect_depth(queue, QueueDepth::default()).await;
}

async fn a_message_that_keeps_killing_workers_becomes_a_dead_letter(subject: &Subject) {
    let queue = &*subject.queue;
    let mut deadly = message("deadly");
    deadly.attempt = 2;
    queue.publish(deadly.clone()).await.unwrap();
    for _ in 0..4 {
        let mut consumer = queue.consume(1).await.unwrap();
        let leased = lease(&mut consumer).await;
        // Before the drop, or the broker would deliver the message to this consumer again.
        consumer.stop().await;
        drop(leased);
    }
    expect_depth(queue, QueueDepth { dead: 1, ..QueueDepth::default() }).await;
    let letters = queue.take_dead_letters(1).await.unwrap();
    assert_eq!(letters[0].message, deadly);
    assert_eq!(letters[0].reason.code, DeadLetterReason::DELIVERY_LIMIT);
    assert!(letters[0].reason.detail.contains("more than 3 times"), "{}", letters[0].reason.detail);
}

async fn a_retry_resets_the_delivery_count(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a"]).await;
    let mut consumer = queue.consume(1).await.unwrap();
    for _ in 0..3 {
        drop(lease(&mut consumer).await);
    }
    lease(&mut consumer).await.retry(Duration::from_millis(1)).await.unwrap();
    for _ in 0..4 {
        drop(lease(&mut consumer).await);
    }
    expect_depth(queue, QueueDepth { dead: 1, ..QueueDepth::default() }).await;
    let letters = queue.take_dead_letters(1).await.unwrap();
    assert_eq!(letters[0].reason.code, DeadLetterReason::DELIVERY_LIMIT);
    assert_eq!(letters[0].message.attempt, 1);
}

async fn a_stopped_consumer_returns_messages_not_yet_leased(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = queue.consume(3).await.unwrap();
    let held = lease(&mut consumer).await;
    sleep(PAUSE).await; // until the broker has sent the others ahead
    consumer.stop().await;
    assert!(consumer.next().await.is_none());
    consumer.stop().await;

    let mut other = queue.consume(3).await.unwrap();
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let leased = lease(&mut other).await;
        ids.insert(leased.message().id.clone());
        leased.ack().await.unwrap();
    }
    assert_eq!(ids, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    no_lease(&mut other).await;
    held.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn a_dropped_consumer_returns_messages_not_yet_leased(subject: &Subject) {
    subject.publish(&["a", "b"]).await;
    let mut consumer = subject.queue.consume(2).await.unwrap();
    let held = lease(&mut consumer).await;
    sleep(PAUSE).await;
    drop(consumer);
    let mut other = subject.queue.consume(2).await.unwrap();
    lease(&mut other).await.ack().await.unwrap();
    held.ack().await.unwrap();
    expect_depth(&*subject.queue, QueueDepth::default()).await;
}

async fn a_cancelled_wait_loses_no_message(subject: &Subject) {
    let mut consumer = subject.queue.consume(1).await.unwrap();
    for _ in 0..200 {
        let _ = tokio::time::timeout(Duration::from_millis(1), consumer.next()).await;
    }
    subject.publish(&["a"]).await;
    lease(&mut consumer).await.ack().await.unwrap();
    expect_depth(&*subject.queue, QueueDepth::default()).await;
}

async fn many_tasks_may_publish_at_once(subject: &Subject) {
    let queue = &*subject.queue;
    let ids: BTreeSet<_> = (0..500).map(|n| format!("job-{n}")).collect();
    stream::iter(ids.clone())
        .map(|id| async move { queue.publish(message(&id)).await })
        .buffer_unordered(64)
        .try_collect::<()>()
        .await
        .unwrap();
    let mut consumer = queue.consume(50).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < ids.len() {
        let leased = lease(&mut consumer).await;
        assert!(seen.insert(leased.message().id.clone()), "{leased:?} came twice");
        leased.ack().await.unwrap();
    }
    assert_eq!(seen, ids);
}

async fn a_broken_connection_loses_leases_but_no_messages(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c", "d"]).await;
    let mut consumer = queue.consume(4).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(lease(&mut consumer).await);
    }
    (subject.disconnect)();
    sleep(PAUSE).await;
    let reason = DeadLetterReason { code: "x".into(), detail: String::new() };
    let delay = Duration::from_secs(1);
    let outcomes = [
        held.remove(0).ack().await,
        held.remove(0).retry(delay).await,
        held.remove(0).dead_letter(reason).await,
        held.remove(0).release().await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LeaseLost);
    }

    let mut ids = BTreeSet::new();
    for _ in 0..4 {
        let leased = lease(&mut consumer).await;
        assert_eq!(leased.redeliveries(), 1);
        ids.insert(leased.message().id.clone());
        leased.ack().await.unwrap();
    }
    assert_eq!(ids.len(), 4);
    expect_depth(queue, QueueDepth::default()).await;
}

async fn lost_leases_count_as_in_flight_until_dropped(subject: &Subject) {
    subject.publish(&["a"]).await;
    let mut consumer = subject.queue.consume(1).await.unwrap();
    let held = lease(&mut consumer).await;
    (subject.disconnect)();
    no_lease(&mut consumer).await;
    drop(held);
    assert_eq!(lease(&mut consumer).await.redeliveries(), 1);
}

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&super::memory_queue()).await;
                }
            )*
        }

        mod amqp {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let Some(broker) = super::support::broker() else { return };
                    let config = super::support::config(&broker);
                    super::$test(&super::amqp_queue(&broker, &config).await).await;
                    super::support::delete_queues(config).await;
                }
            )*
        }
    };
}

conformance!(
    acknowledged_messages_are_deleted,
    messages_may_have_empty_bodies,
    bounds_the_leases_in_flight,
    released_messages_come_back_and_are_counted,
    dropped_leases_are_released,
    retried_messages_come_back_later,
    dead_letters_keep_their_reason,
    a_message_that_keeps_killing_workers_becomes_a_dead_letter,
    a_retry_resets_the_delivery_count,
    a_stopped_consumer_returns_messages_not_yet_leased,
    a_dropped_consumer_returns_messages_not_yet_leased,
    a_cancelled_wait_loses_no_message,
    many_tasks_may_publish_at_once,
    a_broken_connection_loses_leases_but_no_messages,
    lost_leases_count_as_in_flight_until_dropped,
);
