use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use lapin::{
    Acker, BasicProperties, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{publisher::Publisher, topology::Topology, wire};
use crate::{Error, Kind, Lease, Message, Reason};

pub(super) const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

pub(super) struct AmqpLease {
    message: Message,
    redeliveries: u32,
    acker: Acker,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
    /// The lease lives on this channel, which closes when nobody holds it.
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

    /// Hands the message to another queue, then lets go of it here. In this order: better twice
    /// than never.
    async fn move_to(&self, queue: &str, properties: BasicProperties) -> Result<(), Error> {
        if !self.acker.usable() {
            return Err(lost("its connection broke off"));
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
        Ok(false) => Err(lost("its connection broke off")),
        Err(error) => Err(lost(&error.to_string())),
    }
}

fn lost(why: &str) -> Error {
    Error::new(Kind::LeaseLost, format!("the lease is lost, {why}"))
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

    async fn dead_letter(self: Box<Self>, reason: Reason) -> Result<(), Error> {
        self.move_to(self.topology.dead(), wire::dead_letter(&self.message, &reason)?).await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        settled(self.acker.nack(REQUEUE).await)
    }
}

impl Drop for AmqpLease {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll hands the release to the connection's own thread; only the news that
            // it was written is not waited for.
            let _ = self.acker.nack(REQUEUE).now_or_never();
        }
    }
}
