//! The conformance suite of all queues. The AMQP queue is tested through a proxy that can break its
//! connections.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use futures::{StreamExt, TryStreamExt, stream};
use queue::{
    AmqpConfig, AmqpQueue, Consumer, Counts, DeadLetterReason, Destination, ErrorKind, Lane, Lease,
    MemoryQueue, Message, Origin, Queue, QueueDepth,
};
use support::{PAUSE, Proxy, expect_depth, lease, message, no_lease};
use tokio::time::{Instant, sleep};

const JOBS: Origin = Origin::Jobs(Lane::Normal);
const RETURNED: Origin = Origin::Returned(Lane::Normal);

/// A new queue with a delivery limit of 3 and a lease time of one second.
struct Subject {
    queue: Box<dyn Queue>,
    /// Breaks the connection of all leases.
    disconnect: Box<dyn Fn() + Send + Sync>,
}

fn memory_queue() -> Subject {
    let queue = MemoryQueue::with_limits(3, Duration::from_secs(1));
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

    async fn consume(&self, origin: Origin, in_flight: u16) -> Box<dyn Consumer> {
        self.queue.consume(origin, in_flight).await.unwrap()
    }

    /// Leases one message. The consumer has ended when this returns: one that was only dropped might
    /// still be sent the next message, and move it to [`Origin::Returned`].
    async fn lease(&self, origin: Origin) -> Box<dyn Lease> {
        let mut consumer = self.consume(origin, 1).await;
        let leased = lease(&mut consumer).await;
        consumer.stop().await;
        leased
    }
}

/// Counters that differ from each other and from zero.
fn counts() -> Counts {
    Counts { attempts: 7, releases: 3, crashes: 2, generation: 5, seen: "\"é\"".to_owned() }
}

async fn acknowledged_messages_are_deleted(subject: &Subject) {
    let queue = &*subject.queue;
    let mut sent = message("a \"job\" ✓");
    sent.body = (0..=255).collect::<Vec<u8>>().repeat(2000).into();
    sent.counts = counts();
    sent.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    queue.publish(sent.clone()).await.unwrap();
    expect_depth(queue, QueueDepth { ready: 1, ..QueueDepth::default() }).await;

    let mut consumer = subject.consume(JOBS, 4).await;
    let leased = lease(&mut consumer).await;
    assert_eq!(*leased.message(), sent);
    assert_eq!((leased.origin(), leased.is_redelivered()), (JOBS, false));
    assert!(!leased.is_lost());
    let age = SystemTime::now().duration_since(leased.since().unwrap()).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    leased.ack().await.unwrap();
    no_lease(&mut consumer).await;
    expect_depth(queue, QueueDepth::default()).await;
}

async fn messages_may_have_empty_bodies(subject: &Subject) {
    let mut sent = message("empty");
    sent.body = Vec::new().into();
    subject.queue.publish(sent.clone()).await.unwrap();
    let mut consumer = subject.consume(JOBS, 1).await;
    assert_eq!(*lease(&mut consumer).await.message(), sent);
}

async fn bounds_the_leases_in_flight(subject: &Subject) {
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = subject.consume(JOBS, 2).await;
    let first = lease(&mut consumer).await;
    let _second = lease(&mut consumer).await;
    no_lease(&mut consumer).await;
    first.ack().await.unwrap();
    let _third = lease(&mut consumer).await;
    assert_eq!(subject.queue.consume(JOBS, 0).await.unwrap_err().kind(), ErrorKind::Other);
}

async fn forwarded_messages_come_back_with_their_counters(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a"]).await;
    let mut leased = subject.lease(JOBS).await;
    for (destination, origin) in
        [(Destination::Returned, RETURNED), (Destination::Quarantine, Origin::Quarantine)]
    {
        leased.forward(destination, counts()).await.unwrap();
        expect_depth(queue, QueueDepth { ready: 1, ..QueueDepth::default() }).await;
        leased = subject.lease(origin).await;
        assert_eq!((leased.origin(), leased.is_redelivered()), (origin, false));
        assert_eq!(leased.message().counts, counts());
        assert_eq!(leased.message().body, message("a").body);
    }
    leased.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn each_origin_has_its_own_limit(subject: &Subject) {
    subject.publish(&["a", "b", "c"]).await;
    let mut jobs = subject.consume(JOBS, 2).await;
    let mut returned = subject.consume(RETURNED, 1).await;
    let first = lease(&mut jobs).await;
    let _second = lease(&mut jobs).await;
    first.forward(Destination::Returned, Counts::default()).await.unwrap();
    assert_eq!(lease(&mut jobs).await.message().id, "c");
    assert_eq!(lease(&mut returned).await.message().id, "a");
}

/// A message keeps its lane wherever it goes.
async fn lanes_are_separate(subject: &Subject) {
    let queue = &*subject.queue;
    for lane in Lane::ALL {
        let trace = format!("00-0af7651916cd43dd8448eb211c80319c-{:016x}-01", lane as u8);
        let sent = Message { lane, trace, ..message(lane.as_str()) };
        queue.publish(sent.clone()).await.unwrap();
        let mut jobs = subject.consume(Origin::Jobs(lane), 1).await;
        let mut returned = subject.consume(Origin::Returned(lane), 1).await;
        let leased = lease(&mut jobs).await;
        assert_eq!(*leased.message(), sent);
        let soon = Destination::Delayed(Duration::from_secs(1));
        leased.forward(soon, Counts::default()).await.unwrap();
        let leased = lease(&mut returned).await;
        leased.forward(Destination::Long, Counts::default()).await.unwrap();
        let leased = subject.lease(Origin::Long(lane)).await;
        leased.forward(Destination::Quarantine, Counts::default()).await.unwrap();
        let leased = subject.lease(Origin::Quarantine).await;
        assert_eq!(leased.message().lane, lane, "quarantine has no lanes");
        leased.forward(Destination::Returned, Counts::default()).await.unwrap();
        let leased = lease(&mut returned).await;
        assert_eq!(*leased.message(), sent);
        leased.ack().await.unwrap();
    }
    expect_depth(queue, QueueDepth::default()).await;
}

/// Watches are no jobs: they are counted apart, come back only to where they were, and are never given up.
async fn watches_are_told_from_jobs(subject: &Subject) {
    let queue = &*subject.queue;
    let watches = |watches| QueueDepth { watches, ..QueueDepth::default() };
    let sent = Message { trace: "00-1-2-01".to_owned(), ..message("watch") };
    queue.publish_watch(sent.clone()).await.unwrap();
    expect_depth(queue, watches(1)).await;
    let mut jobs = subject.consume(JOBS, 1).await;
    no_lease(&mut jobs).await;
    let mut leased = subject.lease(Origin::Watches).await;
    assert_eq!(*leased.message(), sent);
    assert_eq!((leased.origin(), leased.is_redelivered()), (Origin::Watches, false));

    let mut consumer = subject.consume(Origin::Watches, 1).await;
    for destination in [
        Destination::Delayed(Duration::from_secs(1)),
        Destination::Returned,
        Destination::Parked,
        Destination::Held,
    ] {
        let start = Instant::now();
        let waits = matches!(destination, Destination::Delayed(_) | Destination::Parked);
        leased.forward(destination, counts()).await.unwrap();
        if waits {
            expect_depth(queue, watches(1)).await;
        }
        leased = lease(&mut consumer).await;
        assert!(!waits || start.elapsed() >= Duration::from_secs(1));
        assert_eq!(*leased.message(), Message { counts: counts(), ..sent.clone() });
    }
    drop(leased);
    for _ in 0..6 {
        drop(lease(&mut consumer).await);
    }
    let leased = lease(&mut consumer).await;
    assert!(leased.is_redelivered());
    leased.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn held_messages_wait_until_they_are_released(subject: &Subject) {
    let queue = &*subject.queue;
    for (id, lane) in [("a", Lane::Bulk), ("b", Lane::Normal), ("c", Lane::Bulk)] {
        queue.publish(Message { lane, ..message(id) }).await.unwrap();
        let leased = subject.lease(Origin::Jobs(lane)).await;
        leased.forward(Destination::Held, counts()).await.unwrap();
    }
    expect_depth(queue, QueueDepth { held: 3, ..QueueDepth::default() }).await;
    assert_eq!(queue.release_held(&|_| false).await.unwrap(), 0);
    expect_depth(queue, QueueDepth { held: 3, ..QueueDepth::default() }).await;
    assert_eq!(queue.release_held(&|message| message.id != "a").await.unwrap(), 2);
    expect_depth(queue, QueueDepth { held: 1, ready: 2, ..QueueDepth::default() }).await;
    for (id, lane) in [("b", Lane::Normal), ("c", Lane::Bulk)] {
        let leased = subject.lease(Origin::Jobs(lane)).await;
        assert_eq!(*leased.message(), Message { lane, counts: counts(), ..message(id) });
        assert!(!leased.is_redelivered());
        leased.ack().await.unwrap();
    }
    assert_eq!(queue.release_held(&|_| true).await.unwrap(), 1);
    assert_eq!(queue.release_held(&|_| true).await.unwrap(), 0);
    subject.lease(Origin::Jobs(Lane::Bulk)).await.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn dropped_leases_come_back(subject: &Subject) {
    subject.publish(&["a"]).await;
    let mut consumer = subject.consume(JOBS, 1).await;
    drop(lease(&mut consumer).await);
    let again = lease(&mut consumer).await;
    assert!(again.is_redelivered());
    again.ack().await.unwrap();
    no_lease(&mut consumer).await;
}

async fn delayed_and_parked_messages_come_back_later(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a"]).await;
    let mut leased = subject.lease(JOBS).await;
    let mut consumer = subject.consume(RETURNED, 1).await;
    let time = Duration::from_secs(1);
    let delayed = QueueDepth { delayed: 1, ..QueueDepth::default() };
    let parked = QueueDepth { parked: 1, ..QueueDepth::default() };
    for (attempts, destination, depth) in [
        (1, Destination::Delayed(time), delayed),
        (2, Destination::Delayed(time), delayed),
        (3, Destination::Parked, parked),
    ] {
        let start = Instant::now();
        leased.forward(destination, Counts { attempts, ..Counts::default() }).await.unwrap();
        expect_depth(queue, depth).await;
        leased = lease(&mut consumer).await;
        assert!(start.elapsed() >= time, "came back after {:?}", start.elapsed());
        assert_eq!((leased.message().counts.attempts, leased.is_redelivered()), (attempts, false));
        assert_eq!(leased.message().body, message("a").body);
    }
    leased.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn dead_letters_keep_their_reason(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = subject.consume(JOBS, 3).await;
    for id in ["a", "b", "c"] {
        let leased = lease(&mut consumer).await;
        assert_eq!(leased.message().id, id);
        let detail = format!("no such object: «{id}»\n");
        let reason = DeadLetterReason { code: "source_missing".into(), detail };
        leased.forward(Destination::Dead(reason), counts()).await.unwrap();
    }
    expect_depth(queue, QueueDepth { dead: 3, ..QueueDepth::default() }).await;

    let first = queue.take_dead_letters(2).await.unwrap();
    let rest = queue.take_dead_letters(100).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&rest).map(|letter| &*letter.message.id).collect();
    assert_eq!((ids, first.len()), (vec!["a", "b", "c"], 2));
    assert_eq!(rest[0].message, Message { counts: counts(), ..message("c") });
    let expected = DeadLetterReason {
        code: "source_missing".into(),
        detail: "no such object: «c»\n".into(),
    };
    assert_eq!(rest[0].reason, expected);
    assert!(queue.take_dead_letters(1).await.unwrap().is_empty());
    expect_depth(queue, QueueDepth::default()).await;
}

/// Leases the message that the queue itself gave up.
async fn undelivered(subject: &Subject) -> Message {
    let leased = subject.lease(Origin::Undelivered).await;
    let reason = leased.given_up().unwrap();
    assert_eq!(reason.code, DeadLetterReason::DELIVERY_LIMIT);
    assert!(reason.detail.contains("more than 3 times"), "{}", reason.detail);
    let message = leased.message().clone();
    leased.ack().await.unwrap();
    message
}

async fn a_message_that_is_dropped_again_and_again_is_given_up(subject: &Subject) {
    let queue = &*subject.queue;
    for (origin, destination) in [
        (JOBS, None),
        (RETURNED, Some(Destination::Returned)),
        (Origin::Quarantine, Some(Destination::Quarantine)),
    ] {
        let dropped = Message { counts: counts(), ..message("dropped") };
        queue.publish(dropped.clone()).await.unwrap();
        if let Some(destination) = destination {
            let leased = subject.lease(JOBS).await;
            leased.forward(destination, counts()).await.unwrap();
        }
        for _ in 0..4 {
            let mut consumer = subject.consume(origin, 1).await;
            let leased = lease(&mut consumer).await;
            assert!(leased.given_up().is_none());
            // Before the drop, or the broker would deliver the message to this consumer again.
            consumer.stop().await;
            drop(leased);
        }
        assert_eq!(undelivered(subject).await, dropped);
        expect_depth(queue, QueueDepth::default()).await;
    }
}

async fn forwarding_resets_the_delivery_count(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a"]).await;
    let mut consumer = subject.consume(JOBS, 1).await;
    for _ in 0..3 {
        drop(lease(&mut consumer).await);
    }
    lease(&mut consumer).await.forward(Destination::Returned, counts()).await.unwrap();
    let mut consumer = subject.consume(RETURNED, 1).await;
    for _ in 0..4 {
        drop(lease(&mut consumer).await);
    }
    assert_eq!(undelivered(subject).await.counts, counts());
    expect_depth(queue, QueueDepth::default()).await;
}

/// Many clean shutdowns must not count: what nobody has looked at is published anew.
async fn messages_returned_by_stopped_consumers_are_not_suspect(subject: &Subject) {
    subject.publish(&["a"]).await;
    for origin in [JOBS, RETURNED, RETURNED, RETURNED, RETURNED] {
        let mut consumer = subject.consume(origin, 1).await;
        // The subscription begins with the first wait, which is cancelled before it ends.
        let waiting = tokio::time::timeout(Duration::from_millis(1), consumer.next()).await;
        drop(waiting);
        sleep(PAUSE).await;
        consumer.stop().await;
    }
    let depth = QueueDepth { ready: 1, ..QueueDepth::default() };
    expect_depth(&*subject.queue, depth).await;
}

/// Leases a message that a stopped consumer returned: in AMQP to the returned jobs, in memory
/// messages are not sent ahead.
async fn lease_from_either(subject: &Subject) -> Box<dyn Lease> {
    let mut jobs = subject.consume(JOBS, 1).await;
    let mut returned = subject.consume(RETURNED, 1).await;
    tokio::select! {
        leased = lease(&mut jobs) => leased,
        leased = lease(&mut returned) => leased,
    }
}

async fn a_stopped_consumer_returns_messages_not_yet_leased(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c"]).await;
    let mut consumer = subject.consume(JOBS, 3).await;
    let held = lease(&mut consumer).await;
    sleep(PAUSE).await; // until the broker has sent the others ahead
    consumer.stop().await;
    assert!(consumer.next().await.is_none());
    consumer.stop().await;

    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let leased = lease_from_either(subject).await;
        ids.insert(leased.message().id.clone());
        leased.ack().await.unwrap();
    }
    assert_eq!(ids, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    held.ack().await.unwrap();
    expect_depth(queue, QueueDepth::default()).await;
}

async fn a_dropped_consumer_returns_messages_not_yet_leased(subject: &Subject) {
    subject.publish(&["a", "b"]).await;
    let mut consumer = subject.consume(JOBS, 2).await;
    let held = lease(&mut consumer).await;
    sleep(PAUSE).await;
    drop(consumer);
    lease_from_either(subject).await.ack().await.unwrap();
    held.ack().await.unwrap();
    expect_depth(&*subject.queue, QueueDepth::default()).await;
}

async fn dead_letters_are_read_removed_and_retried(subject: &Subject) {
    let queue = &*subject.queue;
    subject.publish(&["a", "b", "c", "d"]).await;
    let mut consumer = subject.consume(JOBS, 4).await;
    for _ in 0..4 {
        let reason = DeadLetterReason { code: "x".into(), detail: String::new() };
        let leased = lease(&mut consumer).await;
        leased.forward(Destination::Dead(reason), Counts::default()).await.unwrap();
    }
    let ids = async || {
        let mut letters = queue.dead_letters().await.unwrap();
        let mut ids = Vec::new();
        while let Some(letter) = letters.next().await.unwrap() {
            assert!(letter.since.is_some());
            ids.push(letter.message.id);
        }
        letters.close().await.unwrap();
        ids
    };
    expect_depth(queue, QueueDepth { dead: 4, ..QueueDepth::default() }).await;
    for _ in 0..3 {
        assert_eq!(ids().await, ["a", "b", "c", "d"], "reading changes nothing");
    }
    let mut letters = queue.dead_letters().await.unwrap();
    assert!(letters.remove().await.is_err(), "nothing was read");
    letters.next().await.unwrap();
    letters.next().await.unwrap();
    letters.remove().await.unwrap();
    assert!(letters.remove().await.is_err(), "it is removed already");
    letters.next().await.unwrap();
    letters.retry(counts()).await.unwrap();
    letters.close().await.unwrap();
    expect_depth(queue, QueueDepth { dead: 2, ready: 1, ..QueueDepth::default() }).await;
    let leased = subject.lease(RETURNED).await;
    assert_eq!(*leased.message(), Message { counts: counts(), ..message("c") });
    leased.ack().await.unwrap();
    let mut left = ids().await;
    left.sort();
    assert_eq!(left, ["a", "d"]);
}

async fn a_cancelled_wait_loses_no_message(subject: &Subject) {
    let mut consumer = subject.consume(JOBS, 1).await;
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
    let mut consumer = subject.consume(JOBS, 50).await;
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
    let mut consumer = subject.consume(JOBS, 4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(lease(&mut consumer).await);
    }
    (subject.disconnect)();
    sleep(PAUSE).await;
    assert!(held.iter().all(|lease| lease.is_lost()));
    let reason = DeadLetterReason { code: "x".into(), detail: String::new() };
    let outcomes = [
        held.remove(0).ack().await,
        held.remove(0).forward(Destination::Returned, counts()).await,
        held.remove(0).forward(Destination::Dead(reason), counts()).await,
        held.remove(0).forward(Destination::Parked, counts()).await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LeaseLost);
    }

    let mut ids = BTreeSet::new();
    for _ in 0..4 {
        let leased = lease(&mut consumer).await;
        assert!(leased.is_redelivered());
        ids.insert(leased.message().id.clone());
        leased.ack().await.unwrap();
    }
    assert_eq!(ids.len(), 4);
    expect_depth(queue, QueueDepth::default()).await;
}

async fn lost_leases_count_as_in_flight_until_dropped(subject: &Subject) {
    subject.publish(&["a"]).await;
    let mut consumer = subject.consume(JOBS, 1).await;
    let held = lease(&mut consumer).await;
    (subject.disconnect)();
    no_lease(&mut consumer).await;
    drop(held);
    assert!(lease(&mut consumer).await.is_redelivered());
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
    each_origin_has_its_own_limit,
    lanes_are_separate,
    watches_are_told_from_jobs,
    held_messages_wait_until_they_are_released,
    forwarded_messages_come_back_with_their_counters,
    dropped_leases_come_back,
    delayed_and_parked_messages_come_back_later,
    dead_letters_keep_their_reason,
    dead_letters_are_read_removed_and_retried,
    a_message_that_is_dropped_again_and_again_is_given_up,
    forwarding_resets_the_delivery_count,
    messages_returned_by_stopped_consumers_are_not_suspect,
    a_stopped_consumer_returns_messages_not_yet_leased,
    a_dropped_consumer_returns_messages_not_yet_leased,
    a_cancelled_wait_loses_no_message,
    many_tasks_may_publish_at_once,
    a_broken_connection_loses_leases_but_no_messages,
    lost_leases_count_as_in_flight_until_dropped,
);
