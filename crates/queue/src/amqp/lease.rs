//! Leases of the queue on RabbitMQ.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use futures::FutureExt;
use lapin::{
    Acker, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicRejectOptions},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{error::BrokerError, publisher::Publisher, topology::Topology, wire};
use crate::{Counts, DeadLetterReason, Destination, Error, ErrorKind, Lease, Message, Origin};

/// In every version of RabbitMQ, `basic.reject` counts towards the delivery limit; `basic.nack` does
/// only before 4.3. Without the count, a message that is dropped again and again would loop.
pub(super) const REQUEUE: BasicRejectOptions = BasicRejectOptions { requeue: true };

pub(super) struct AmqpLease {
    message: Message,
    origin: Origin,
    since: Option<SystemTime>,
    redelivered: bool,
    given_up: Option<DeadLetterReason>,
    acker: Acker,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
    /// Keeps the channel of the delivery open: it closes when its last handle is dropped, and the
    /// lease would be lost.
    subscription: SubscriptionHandle,
    _slot: OwnedSemaphorePermit,
}

/// What a lease shares with the subscription that it came from.
#[derive(Clone)]
pub(super) struct SubscriptionHandle {
    pub(super) channel: Channel,
    /// Set when the broker ended the subscription. RabbitMQ 4.3 does that after the consumer timeout:
    /// it delivers the messages again and ignores their late acknowledgements, while the channel
    /// stays open.
    pub(super) ended_by_broker: Arc<AtomicBool>,
}

impl AmqpLease {
    pub(super) fn new(
        delivery: Delivery,
        origin: Origin,
        subscription: SubscriptionHandle,
        slot: OwnedSemaphorePermit,
        publisher: Arc<Publisher>,
        topology: Arc<Topology>,
    ) -> Self {
        Self {
            message: wire::read_message(&delivery, origin.lane()),
            origin,
            since: wire::since(&delivery),
            redelivered: wire::is_redelivered(&delivery),
            given_up: (origin == Origin::Undelivered)
                .then(|| wire::brokers_reason(&delivery, &topology)),
            acker: delivery.acker,
            publisher,
            topology,
            subscription,
            _slot: slot,
        }
    }

    async fn acknowledge(&self) -> Result<(), Error> {
        if self.is_lost() {
            return Err(lost());
        }
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost()),
            Err(error) => Err(lost().with_source(BrokerError(error))),
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::LeaseLost, "the lease is lost: its connection or subscription ended")
}

impl fmt::Debug for AmqpLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpLease")
            .field("id", &self.message.id)
            .field("counts", &self.message.counts)
            .field("origin", &self.origin)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lease for AmqpLease {
    fn message(&self) -> &Message {
        &self.message
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn since(&self) -> Option<SystemTime> {
        self.since
    }

    fn is_redelivered(&self) -> bool {
        self.redelivered
    }

    fn given_up(&self) -> Option<DeadLetterReason> {
        self.given_up.clone()
    }

    fn is_lost(&self) -> bool {
        !self.acker.usable()
            || !self.subscription.channel.status().connected()
            || self.subscription.ended_by_broker.load(Ordering::Relaxed)
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.acknowledge().await
    }

    /// Publishes the message to another queue, then acknowledges it. In this order a failure in
    /// between duplicates the message instead of losing it.
    async fn forward(
        self: Box<Self>,
        destination: Destination,
        counts: Counts,
    ) -> Result<(), Error> {
        if self.is_lost() {
            return Err(lost());
        }
        let reason = match &destination {
            Destination::Dead(reason) => Some(reason),
            _ => None,
        };
        let message = Message { counts, ..self.message.clone() };
        let properties = wire::properties(&message, reason)?;
        let route = self.topology.route(&destination, self.origin, message.lane);
        self.publisher.publish(route, properties, &message.body).await?;
        self.acknowledge().await
    }
}

impl Drop for AmqpLease {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll passes the rejection to the connection's I/O thread. `drop` cannot wait
            // until it is written.
            let _ = self.acker.reject(REQUEUE).now_or_never();
        }
    }
}
