//! Leases, acknowledgements and dead letters: RabbitMQ and an in-memory queue behind one trait.
//!
//! What a message says is not this crate's business: a body is bytes.

mod amqp;
mod error;
mod memory;

pub use amqp::{AmqpConfig, AmqpQueue, AmqpUrl};
pub use error::{Error, Kind};
pub use memory::MemoryQueue;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// A work queue with a delay for what must be tried again and a place for what cannot be done.
///
/// Delivery is at least once. All implementations pass the same conformance suite
/// (`tests/conformance.rs`).
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Returns once the broker has taken the message over, durably, and has routed it.
    async fn publish(&self, message: Message) -> Result<(), Error>;

    /// Starts leasing. At most `in_flight` leases (one or more) are unsettled at a time; a lost lease
    /// counts until it is dropped.
    async fn consume(&self, in_flight: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Messages waiting and (where the broker tells) leased, and dead letters.
    async fn depth(&self) -> Result<Depth, Error>;

    /// Removes and returns up to `limit` dead letters, oldest first. For operators and tests.
    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error>;
}

#[async_trait]
pub trait Consumer: Debug + Send {
    /// The next lease (cancelling the call loses none); `None` after [`Consumer::stop`]. A lost connection is mended underneath, with
    /// growing delays; leases of the lost connection can no longer be settled
    /// ([`Kind::LeaseLost`]), the broker gives them to somebody else.
    async fn next(&mut self) -> Option<Box<dyn Lease>>;

    /// No more leases: what the broker had pushed and nobody took goes back to the queue. Leases
    /// already handed out stay good.
    async fn stop(&mut self);
}

/// One message, held until it is settled; dropping it unsettled releases it.
#[async_trait]
pub trait Lease: Debug + Send + Sync {
    fn message(&self) -> &Message;

    /// How often the broker has handed this message out before, as far as it tells: counts crashes
    /// and releases.
    fn redeliveries(&self) -> u32;

    /// Done: the message is gone.
    async fn ack(self: Box<Self>) -> Result<(), Error>;

    /// A transient failure: the message comes back after at least `delay` (or the longest delay the
    /// queue offers, if that is shorter), its `attempt` one higher.
    ///
    /// If this fails, so if the process dies meanwhile, the message comes back at once, perhaps
    /// besides the delayed one: duplicates are possible, loss is not. The same goes for
    /// [`Lease::dead_letter`].
    async fn retry(self: Box<Self>, delay: Duration) -> Result<(), Error>;

    /// A permanent failure: the message goes to the dead-letter queue with the reason.
    async fn dead_letter(self: Box<Self>, reason: Reason) -> Result<(), Error>;

    /// Interrupted: back to the queue, not counted as an attempt.
    async fn release(self: Box<Self>) -> Result<(), Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the job across redeliveries; for logs and for the broker's tools.
    pub id: String,
    pub body: Bytes,
    /// Transient failures so far.
    pub attempt: u32,
}

/// Why a message is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A word for machines, e.g. `source_missing`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl Reason {
    /// The `code` of a message that was handed out too often without being settled. The queue gives
    /// it, not the worker: it is what remains of a job that kills its workers.
    pub const DELIVERY_LIMIT: &str = "delivery_limit";

    fn delivery_limit(limit: u64) -> Self {
        Self {
            code: Self::DELIVERY_LIMIT.to_owned(),
            detail: format!(
                "came back unsettled more than {limit} times: its workers died on it, lost their \
                 connection or gave it back"
            ),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub message: Message,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    pub ready: u64,
    /// Waiting for their next attempt.
    pub delayed: u64,
    pub dead: u64,
}
