//! Work queues with lanes, leases, delays and dead letters: RabbitMQ and an in-memory queue
//! behind one trait, [`Queue`].
//!
//! This crate does not interpret messages: a body is bytes.
//!
//! ```
//! use queue::{Lane, MemoryQueue, Message, Queue, QueueDepth};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), queue::Error> {
//! let queue = MemoryQueue::new();
//! queue.publish(Message::new("job-1", "transcribe")).await?;
//!
//! let mut consumer = queue.consume(Lane::Jobs, 1).await?;
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
mod message;

pub use amqp::{AmqpConfig, AmqpQueue, AmqpUrl};
pub use error::{Error, ErrorKind};
pub use memory::MemoryQueue;
pub use message::{Counts, DeadLetter, DeadLetterReason, Message};

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

/// A work queue that can delay a retry and keeps the messages that were given up as dead letters.
///
/// Delivery is at least once. All implementations pass the same conformance suite
/// (`tests/conformance.rs`).
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Publishes a message to [`Lane::Jobs`]. Returns once the broker has routed and durably stored
    /// it.
    async fn publish(&self, message: Message) -> Result<(), Error>;

    /// Starts leasing messages of one lane, at most `in_flight` (one or more) at a time. A lost
    /// lease counts as in flight until it is dropped.
    async fn consume(&self, lane: Lane, in_flight: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Returns how long a worker may hold a message before it parks it, and how long a parked message
    /// waits.
    fn lease_time(&self) -> Duration;

    /// Counts waiting messages and dead letters. Leased messages are not counted.
    async fn depth(&self) -> Result<QueueDepth, Error>;

    /// Opens the dead letters that there are for reading. Nobody else sees those that were read
    /// until they are closed.
    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, Error>;

    /// Removes and returns up to `limit` dead letters, oldest first.
    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = self.dead_letters().await?;
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(letter) = letters.next().await?
        {
            letters.remove().await?;
            taken.push(letter);
        }
        letters.close().await?;
        Ok(taken)
    }
}

/// A reader of the dead letters, oldest first. A letter stays one unless it is removed or retried.
#[async_trait]
pub trait DeadLetters: Debug + Send {
    /// Returns the next letter, or `None` after the last one.
    async fn next(&mut self) -> Result<Option<DeadLetter>, Error>;

    /// Removes the letter that [`DeadLetters::next`] returned last.
    async fn remove(&mut self) -> Result<(), Error>;

    /// Moves the letter that [`DeadLetters::next`] returned last to [`Lane::Returned`]. If this fails,
    /// it may be in both places.
    async fn retry(&mut self, counts: Counts) -> Result<(), Error>;

    /// Ends the reading. Without it, the letters are put back when the connection closes.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}

/// Where messages wait for a lease. Each lane has its own limit of leases in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// New jobs.
    Jobs,
    /// Jobs that came back: retries whose delay is over, released jobs, parked leases. They do not
    /// wait behind new jobs.
    Returned,
    /// Jobs that may have killed a worker. They are run alone.
    Quarantine,
    /// Jobs that the queue itself has given up, because their leases ended unsettled too often. They
    /// are not run, but their failure is recorded.
    Undelivered,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 4] = [Self::Jobs, Self::Returned, Self::Quarantine, Self::Undelivered];
}

/// Where a leased message goes instead of being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To [`Lane::Returned`], at once.
    Returned,
    /// To [`Lane::Returned`] after at least this time, or after the longest delay that the queue
    /// offers, if that is shorter.
    Delayed(Duration),
    /// To [`Lane::Returned`] after the queue's lease time, for a job that runs for longer than that.
    Parked,
    /// To [`Lane::Quarantine`], at once.
    Quarantine,
    /// To the dead letters.
    Dead(DeadLetterReason),
}

/// A subscription to the messages of one lane.
#[async_trait]
pub trait Consumer: Debug + Send {
    /// Waits for the next lease; returns `None` after [`Consumer::stop`]. Cancelling the call loses
    /// no lease.
    ///
    /// The consumer restores a lost connection by itself, with growing delays between attempts.
    /// Leases of the lost connection can no longer be settled ([`ErrorKind::LeaseLost`]); the
    /// broker delivers their messages again.
    async fn next(&mut self) -> Option<Box<dyn Lease>>;

    /// Interrupts leasing until the next call of [`Consumer::next`]. Messages that the broker has sent
    /// ahead go back to their lane. Leases already returned stay valid.
    async fn pause(&mut self);

    /// Stops leasing. Messages that the broker has sent ahead and `next` has not returned go back to
    /// their lane. Leases already returned stay valid.
    async fn stop(&mut self);
}

/// A message held by one consumer until it is settled. Dropping a lease returns the message to its lane
/// and counts towards the delivery limit. Only a defect drops one: a shutdown forwards the message.
#[async_trait]
pub trait Lease: Debug + Send + Sync {
    /// Returns the leased message.
    fn message(&self) -> &Message;

    /// Returns the lane that the message came from.
    fn lane(&self) -> Lane;

    /// Returns whether this copy of the message may have been leased before: its worker died, lost
    /// its connection, or never took it out of its buffer.
    fn is_redelivered(&self) -> bool;

    /// Returns why the queue has given the message up, if it is of [`Lane::Undelivered`].
    fn given_up(&self) -> Option<DeadLetterReason>;

    /// Returns whether the lease is known to be lost: its connection or subscription ended, and the
    /// broker delivers the message again. A lease that is not known to be lost may be so, too.
    fn is_lost(&self) -> bool;

    /// Acknowledges the message; the broker deletes it.
    async fn ack(self: Box<Self>) -> Result<(), Error>;

    /// Moves the message to `destination` with other counters.
    ///
    /// If this fails or the process dies meanwhile, the message comes back at once, perhaps in
    /// addition to the moved one: duplicates are possible, loss is not.
    async fn forward(
        self: Box<Self>,
        destination: Destination,
        counts: Counts,
    ) -> Result<(), Error>;
}

/// Number of messages in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Messages that can be leased now, of all lanes.
    pub ready: u64,
    /// Messages that wait for their next attempt.
    pub delayed: u64,
    /// Messages of jobs that ran for longer than the lease time, and may still run.
    pub parked: u64,
    /// Dead letters.
    pub dead: u64,
}

impl QueueDepth {
    /// Returns the number of messages that will be leased some time.
    pub fn waiting(&self) -> u64 {
        self.ready + self.delayed + self.parked
    }
}
