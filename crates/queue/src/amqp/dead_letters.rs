//! Reads the dead letters of the queue on RabbitMQ.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lapin::{
    Acker, Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};

use super::{error::broker_error, publisher::Publisher, topology::Topology, wire};
use crate::{Counts, DeadLetter, DeadLetters, Error, ErrorKind, Message, Origin};

/// Holds the letters that were read until the channel closes, or they are put back.
pub(super) struct AmqpDeadLetters {
    channel: Channel,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
    /// Letters that were there at the start and have not been read. One that is retried and fails
    /// again meanwhile must not be read again.
    left: u64,
    last: Option<(Message, Acker)>,
    /// The latest letter that is kept; all before it are settled or kept as well.
    kept: Option<Acker>,
}

impl AmqpDeadLetters {
    pub(super) async fn open(
        channel: Channel,
        publisher: Arc<Publisher>,
        topology: Arc<Topology>,
    ) -> Result<Self, Error> {
        let left = topology.count_dead(&channel).await?;
        Ok(Self { channel, publisher, topology, left, last: None, kept: None })
    }

    fn take_last(&mut self) -> Result<(Message, Acker), Error> {
        self.last.take().ok_or_else(|| Error::new(ErrorKind::Other, "no dead letter was read"))
    }

    fn keep_last(&mut self) {
        if let Some((_, acker)) = self.last.take() {
            self.kept = Some(acker);
        }
    }
}

async fn acknowledge(acker: &Acker) -> Result<(), Error> {
    match acker.ack(BasicAckOptions::default()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(ErrorKind::LeaseLost, "removing a dead letter: not connected")),
        Err(error) => Err(broker_error("removing a dead letter", error)),
    }
}

#[async_trait]
impl DeadLetters for AmqpDeadLetters {
    async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        self.keep_last();
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let options = BasicGetOptions { no_ack: false };
        let got = self.channel.basic_get(self.topology.dead().into(), options).await;
        let got = got.map_err(|error| broker_error("reading dead letters", error))?;
        let Some(got) = got else { return Ok(None) };
        let letter = wire::read_dead_letter(&got.delivery, &self.topology);
        self.last = Some((letter.message.clone(), got.delivery.acker));
        Ok(Some(letter))
    }

    async fn remove(&mut self) -> Result<(), Error> {
        acknowledge(&self.take_last()?.1).await
    }

    async fn retry(&mut self, counts: Counts) -> Result<(), Error> {
        let (message, acker) = self.take_last()?;
        let message = Message { counts, ..message };
        let properties = wire::properties(&message, None)?;
        let route = self.topology.to_origin(Origin::Returned(message.lane));
        self.publisher.publish(route, properties, &message.body).await?;
        acknowledge(&acker).await
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.keep_last();
        let Some(kept) = &self.kept else { return Ok(()) };
        // Puts all letters back, in their order.
        let options = BasicNackOptions { multiple: true, requeue: true };
        let put_back = kept.nack(options).await;
        put_back.map(drop).map_err(|error| broker_error("putting dead letters back", error))
    }
}

impl fmt::Debug for AmqpDeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpDeadLetters").field("topology", &self.topology).finish_non_exhaustive()
    }
}
