//! Work queues with leases, delayed retries and dead letters: RabbitMQ and an in-memory queue
//! behind one trait, [`Queue`].
//!
//! This crate does not interpret messages: a body is bytes.
//!
//! ```
//! use queue::{MemoryQueue, Message, Queue, QueueDepth};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), queue::Error> {
//! let queue = MemoryQueue::new();
//! queue.publish(Message { id: "job-1".into(), body: "transcribe".into(), attempt: 0 }).await?;
//!
//! let mut consumer = queue.consume(1).await?;
//! let lease = consumer.next().await.expect("the consumer has not been stopped");
//! assert_eq!(lease.message().body, "transcribe");
//! lease.ack().await?;
//!
//! assert_eq!(queue.depth().await?, QueueDepth::default());
//! # Ok(())
//! # }
//! ```

mod amqp;
mod error;
mod memory;

pub use amqp::{AmqpConfig, AmqpQueue, AmqpUrl};
pub use error::{Error, ErrorKind};
pub use memory::MemoryQueue;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// A work queue that can delay a retry and keeps the messages that were given up as dead letters.
///
/// Delivery is at least once. All implementations pass the same conformance suite
/// (`tests/conformance.rs`).
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Publishes a message. Returns once the broker has routed and durably stored it.
    async fn publish(&self, message: Message) -> Result<(), Error>;

    /// Starts leasing messages, at most `in_flight` (one or more) at a time. A lost lease counts as
    /// in flight until it is dropped.
    async fn consume(&self, in_flight: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Counts waiting messages and dead letters. Leased messages are not counted.
    async fn depth(&self) -> Result<QueueDepth, Error>;

    /// Removes and returns up to `limit` dead letters, oldest first. For operators and tests.
    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error>;
}

/// A subscription to a queue's messages.
#[async_trait]
pub trait Consumer: Debug + Send {
    /// Waits for the next lease; returns `None` after [`Consumer::stop`]. Cancelling the call loses
    /// no lease.
    ///
    /// The consumer restores a lost connection by itself, with growing delays between attempts.
    /// Leases of the lost connection can no longer be settled ([`ErrorKind::LeaseLost`]); the
    /// broker delivers their messages again.
    async fn next(&mut self) -> Option<Box<dyn Lease>>;

    /// Stops leasing. Messages that the broker has sent ahead and `next` has not returned go back to
    /// the queue. Leases already returned stay valid.
    async fn stop(&mut self);
}

/// A message held by one consumer until it is settled. Dropping the lease releases the message.
#[async_trait]
pub trait Lease: Debug + Send + Sync {
    /// Returns the leased message.
    fn message(&self) -> &Message;

    /// Returns how many times the broker has delivered this message before, as far as it reports
    /// that. Crashes and releases both count.
    fn redeliveries(&self) -> u32;

    /// Acknowledges the message; the broker deletes it.
    async fn ack(self: Box<Self>) -> Result<(), Error>;

    /// Schedules a retry after a transient failure. The message comes back after at least `delay`
    /// (or the longest delay the queue offers, if that is shorter), its `attempt` one higher.
    ///
    /// If this fails or the process dies meanwhile, the message comes back at once, perhaps in
    /// addition to the delayed one: duplicates are possible, loss is not. The same holds for
    /// [`Lease::dead_letter`].
    async fn retry(self: Box<Self>, delay: Duration) -> Result<(), Error>;

    /// Moves the message to the dead-letter queue after a permanent failure, with the reason.
    async fn dead_letter(self: Box<Self>, reason: DeadLetterReason) -> Result<(), Error>;

    /// Returns the message to the queue without counting an attempt.
    async fn release(self: Box<Self>) -> Result<(), Error>;
}

/// A job as the queue transports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the job across redeliveries, in logs and in the broker's tools.
    pub id: String,
    /// Content of the message, which the queue does not interpret.
    pub body: Bytes,
    /// Number of transient failures so far.
    pub attempt: u32,
}

/// Why a message is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterReason {
    /// A machine-readable word, e.g. `source_missing`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl DeadLetterReason {
    /// The `code` of a message that was delivered too often without being settled. The queue sets
    /// it, not a worker, because the job may be what kills the workers.
    pub const DELIVERY_LIMIT: &str = "delivery_limit";

    fn delivery_limit(limit: u64) -> Self {
        Self {
            code: Self::DELIVERY_LIMIT.to_owned(),
            detail: format!(
                "came back unsettled more than {limit} times: its workers crashed, lost their \
                 connection or released it"
            ),
        }
    }
}

/// A message that was given up, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub message: Message,
    pub reason: DeadLetterReason,
}

/// Number of messages in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Messages that can be leased now.
    pub ready: u64,
    /// Messages that wait for their next attempt.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
}
