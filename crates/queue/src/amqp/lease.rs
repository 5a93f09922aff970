//! Leases of the queue on RabbitMQ.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use lapin::{
    Acker, BasicProperties, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{error::BrokerError, publisher::Publisher, topology::Topology, wire};
use crate::{DeadLetterReason, Error, ErrorKind, Lease, Message};

pub(super) const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

pub(super) struct AmqpLease {
    message: Message,
    redeliveries: u32,
    acker: Acker,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
    /// Keeps the channel of the delivery open: it closes when its last handle is dropped, and the
    /// lease would be lost.
    _channel: Channel,
    _slot: OwnedSemaphorePermit,
}

impl AmqpLease {
    pub(super) fn new(
        delivery: Delivery,
        channel: Channel,
        slot: OwnedSemaphorePermit,
        publisher: Arc<Publisher>,
        topology: Arc<Topology>,
    ) -> Self {
        Self {
            message: wire::read_message(&delivery),
            redeliveries: wire::redeliveries(&delivery),
            acker: delivery.acker,
            publisher,
            topology,
            _channel: channel,
            _slot: slot,
        }
    }

    /// Publishes the message to another queue, then acknowledges it. In this order a failure in
    /// between duplicates the message instead of losing it.
    async fn move_to(&self, queue: &str, properties: BasicProperties) -> Result<(), Error> {
        if !self.acker.usable() {
            return Err(connection_lost());
        }
        self.publisher.publish(queue, properties, &self.message.body).await?;
        self.acknowledge().await
    }

    async fn acknowledge(&self) -> Result<(), Error> {
        settled(self.acker.ack(BasicAckOptions::default()).await)
    }
}

fn settled(outcome: lapin::Result<bool>) -> Result<(), Error> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(connection_lost()),
        Err(error) => {
            Err(Error::new(ErrorKind::LeaseLost, "the lease is lost")
                .with_source(BrokerError(error)))
        }
    }
}

fn connection_lost() -> Error {
    Error::new(ErrorKind::LeaseLost, "the lease is lost: its connection was closed")
}

impl fmt::Debug for AmqpLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpLease")
            .field("id", &self.message.id)
            .field("attempt", &self.message.attempt)
            .field("redeliveries", &self.redeliveries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lease for AmqpLease {
    fn message(&self) -> &Message {
        &self.message
    }

    fn redeliveries(&self) -> u32 {
        self.redeliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.acknowledge().await
    }

    async fn retry(self: Box<Self>, delay: Duration) -> Result<(), Error> {
        self.move_to(self.topology.retry(delay), wire::retried_job(&self.message)?).await
    }

    async fn dead_letter(self: Box<Self>, reason: DeadLetterReason) -> Result<(), Error> {
        self.move_to(self.topology.dead(), wire::dead_letter(&self.message, &reason)?).await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        settled(self.acker.nack(REQUEUE).await)
    }
}

impl Drop for AmqpLease {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll passes the release to the connection's I/O thread. `drop` cannot wait
            // until it is written.
            let _ = self.acker.nack(REQUEUE).now_or_never();
        }
    }
}
