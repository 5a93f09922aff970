//! Work queues with lanes, leases, delays and dead letters: RabbitMQ and an in-memory queue
//! behind one trait, [`Queue`].
//!
//! This crate does not interpret messages: a body is bytes.
//!
//! ```
//! use queue::{Lane, MemoryQueue, Message, Origin, Queue, QueueDepth};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), queue::Error> {
//! let queue = MemoryQueue::new();
//! queue.publish(Message::new("job-1", "transcribe")).await?;
//!
//! let mut consumer = queue.consume(Origin::Jobs(Lane::Normal), 1).await?;
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
mod lane;
mod memory;
mod message;

#[cfg(feature = "test-util")]
pub use amqp::untrusted;
pub use amqp::{AmqpConfig, AmqpQueue, AmqpUrl, Envelope, Header, Names, Properties};
pub use error::{Error, ErrorKind};
pub use lane::{Lane, Origin};
pub use memory::MemoryQueue;
pub use message::{Announcement, Counts, DeadLetter, DeadLetterReason, Message};

use std::{
    fmt::Debug,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

/// A work queue that can delay a retry and keeps the messages that were given up as dead letters.
///
/// Delivery is at least once. All implementations pass the same conformance suite
/// (`tests/conformance.rs`).
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Publishes a message to [`Origin::Jobs`] of its lane. Returns once the broker has routed and
    /// durably stored it.
    async fn publish(&self, message: Message) -> Result<(), Error>;

    /// Publishes a message to [`Origin::Watches`], as [`Queue::publish`] does to the jobs.
    async fn publish_watch(&self, message: Message) -> Result<(), Error>;

    /// Starts leasing messages from one origin, at most `in_flight` (one or more) at a time. A lost
    /// lease counts as in flight until it is dropped.
    async fn consume(&self, origin: Origin, in_flight: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Returns how long a worker may hold a message before it parks it, and how long a parked message
    /// waits.
    fn lease_time(&self) -> Duration;

    /// Returns whether leases can arrive now, as far as that is known.
    fn is_connected(&self) -> bool;

    /// Counts waiting messages and dead letters. Leased messages are not counted.
    async fn depth(&self) -> Result<QueueDepth, Error>;

    /// Moves held messages that are `wanted` back to [`Origin::Jobs`] of their lanes, and returns their
    /// number. Messages that are held meanwhile may stay. If this fails, some may be in both places.
    async fn release_held(&self, wanted: Wanted<'_>) -> Result<u64, Error>;

    /// Tells whoever listens what has happened. Returns once the broker has taken the announcement, also
    /// if nobody listens.
    async fn announce(&self, announcement: Announcement) -> Result<(), Error>;

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

/// Decides on a message.
pub type Wanted<'a> = &'a (dyn Fn(&Message) -> bool + Send + Sync);

/// A reader of the dead letters, oldest first. A letter stays one unless it is removed or retried.
#[async_trait]
pub trait DeadLetters: Debug + Send {
    /// Returns the next letter, or `None` after the last one.
    async fn next(&mut self) -> Result<Option<DeadLetter>, Error>;

    /// Removes the letter that [`DeadLetters::next`] returned last.
    async fn remove(&mut self) -> Result<(), Error>;

    /// Moves the letter that [`DeadLetters::next`] returned last to [`Origin::Returned`] of its lane. If
    /// this fails, it may be in both places.
    async fn retry(&mut self, counts: Counts) -> Result<(), Error>;

    /// Ends the reading. Without it, the letters are put back when the connection closes.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}

/// Where a leased message goes instead of being deleted. One from [`Origin::Watches`] goes back there from
/// everywhere: after the delay, or at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To [`Origin::Returned`], at once.
    Returned,
    /// To [`Origin::Returned`] after at least this time, or after the longest delay that the queue
    /// offers, if that is shorter.
    Delayed(Duration),
    /// To [`Origin::Returned`] after the queue's lease time, for a job that runs for longer than that.
    Parked,
    /// To [`Origin::Long`], at once.
    Long,
    /// Nowhere, until [`Queue::release_held`].
    Held,
    /// To [`Origin::Quarantine`], at once.
    Quarantine,
    /// To the dead letters.
    Dead(DeadLetterReason),
}

impl Destination {
    /// Returns where a message from `origin` really goes.
    pub(crate) fn of(self, origin: Origin, lease_time: Duration) -> Self {
        match (origin, self) {
            (Origin::Watches, Self::Parked) => Self::Delayed(lease_time),
            (Origin::Watches, Self::Long | Self::Held | Self::Quarantine) => Self::Returned,
            (_, destination) => destination,
        }
    }
}

/// A subscription to the messages of one origin.
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
    /// ahead go back to where they came from. Leases already returned stay valid.
    async fn pause(&mut self);

    /// Stops leasing. Messages that the broker has sent ahead and `next` has not returned go back to
    /// where they came from. Leases already returned stay valid.
    async fn stop(&mut self);
}

/// A message held by one consumer until it is settled. Dropping a lease returns the message to its
/// origin and counts towards the delivery limit. Only a defect drops one: a shutdown forwards the message.
#[async_trait]
pub trait Lease: Debug + Send + Sync {
    /// Returns the leased message.
    fn message(&self) -> &Message;

    /// Returns where the message came from.
    fn origin(&self) -> Origin;

    /// Returns when the message was published to where it was leased from, by the clock of whoever did
    /// that, to the second; `None` if it does not say.
    fn since(&self) -> Option<SystemTime>;

    /// Returns whether this copy of the message may have been leased before: its worker died, lost
    /// its connection, or never took it out of its buffer.
    fn is_redelivered(&self) -> bool;

    /// Returns why the queue has given the message up, if it is from [`Origin::Undelivered`].
    fn given_up(&self) -> Option<DeadLetterReason>;

    /// Returns whether the lease is known to be lost: its connection or subscription ended, and the
    /// broker delivers the message again. A lease that is not known to be lost may be so, too.
    fn is_lost(&self) -> bool;

    /// Acknowledges the message; the broker deletes it.
    async fn ack(self: Box<Self>) -> Result<(), Error>;

    /// Moves the message to `destination`, of the same lane, with other counters.
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
    /// Messages that can be leased now.
    pub ready: u64,
    /// Messages that wait for their next attempt.
    pub delayed: u64,
    /// Messages of jobs that ran for longer than the lease time, and may still run.
    pub parked: u64,
    /// Messages of batches that are paused.
    pub held: u64,
    /// Dead letters.
    pub dead: u64,
    /// Watches of batches, those that wait for their next look included. They are no jobs, so no other
    /// number includes them.
    pub watches: u64,
}

impl QueueDepth {
    /// Returns the number of jobs that are to be leased some time.
    pub fn waiting(&self) -> u64 {
        self.ready + self.delayed + self.parked + self.held
    }
}
