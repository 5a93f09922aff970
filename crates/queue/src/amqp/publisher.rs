//! Publishes to the queues with publisher confirms.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::{Mutex, Semaphore};

use super::{
    connection::BrokerConnection,
    deadline::Deadline,
    error::broker_error,
    topology::{Route, Topology},
};
use crate::{Error, ErrorKind};

/// Bounds the messages in memory that wait for confirmation; enough to keep the broker busy.
const MAX_UNCONFIRMED: usize = 512;

/// Publishes to the queues of the topology. The broker has a message on disk when its publish
/// succeeds.
#[derive(Debug)]
pub(super) struct Publisher {
    connection: Arc<BrokerConnection>,
    timeout: Duration,
    unconfirmed: Semaphore,
    /// One channel per queue. lapin attaches a returned message to the next confirmation on the same
    /// channel, whichever message that is for, which does no harm among messages to one queue.
    channels: BTreeMap<String, Mutex<Option<Channel>>>,
}

impl Publisher {
    pub(super) fn new(
        connection: Arc<BrokerConnection>,
        topology: Arc<Topology>,
        timeout: Duration,
    ) -> Self {
        let channels = topology.targets().map(|name| (name.to_owned(), Mutex::default())).collect();
        Self { connection, timeout, unconfirmed: Semaphore::new(MAX_UNCONFIRMED), channels }
    }

    pub(super) fn connection(&self) -> &BrokerConnection {
        &self.connection
    }

    /// Publishes a message and waits for the broker's confirmation. A connection lost meanwhile
    /// leaves the outcome unknown, so the message is sent again: delivery is at least once.
    pub(super) async fn publish(
        &self,
        route: Route<'_>,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), Error> {
        let queue = route.queue;
        // The semaphore is never closed, so this never fails.
        let _permit = self.unconfirmed.acquire().await;
        let deadline = Deadline::after(Some(self.timeout));
        let unconfirmed = || {
            let seconds = self.timeout.as_secs();
            let context = format!(
                "publishing to {queue}: not confirmed within {seconds} s; the broker may be \
                 unreachable, overloaded, or short of memory or disk"
            );
            Error::new(ErrorKind::Unavailable, context)
        };
        loop {
            let attempt = self.attempt(route, &properties, body, deadline);
            match deadline.bound(attempt).await {
                None => return Err(unconfirmed()),
                Some(Err(error)) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(queue, error = %format_args!("{error:#}"), "publishing failed, trying again");
                }
                Some(outcome) => return outcome,
            }
        }
    }

    async fn attempt(
        &self,
        route: Route<'_>,
        properties: &BasicProperties,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<(), Error> {
        let publishing = format!("publishing to {}", route.queue);
        let confirmation = self
            .send(route, properties.clone(), body, deadline)
            .await?
            .await
            .map_err(|error| broker_error(publishing.as_str(), error))?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                let context = format!(
                    "{publishing}: the broker returned the message: {}",
                    returned.reply_text
                );
                Err(Error::new(ErrorKind::Unroutable, context))
            }
            Confirmation::Nack(None) => {
                let context = format!("{publishing}: the broker refused the message");
                Err(Error::new(ErrorKind::Refused, context))
            }
            Confirmation::NotRequested => {
                let context = format!("{publishing}: the channel is not in confirm mode");
                Err(Error::new(ErrorKind::Other, context))
            }
        }
    }

    /// Writes the message. The returned future completes with the broker's confirmation.
    ///
    /// The lock is held until the message is written, because lapin numbers a message before it
    /// queues it: two tasks doing so at once could receive each other's confirmation.
    async fn send(
        &self,
        route: Route<'_>,
        properties: BasicProperties,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<lapin::PublisherConfirm, Error> {
        let Route { queue, exchange, routing_key, mandatory } = route;
        let slot = self.channels.get(queue).ok_or_else(|| {
            Error::new(ErrorKind::Other, format!("publishing to {queue}: unknown queue"))
        })?;
        let mut slot = slot.lock().await;
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.open(deadline).await?,
        };
        let channel = slot.insert(channel);
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        channel
            .basic_publish(exchange.into(), routing_key.into(), options, body, properties)
            .await
            .map_err(|error| broker_error(format!("publishing to {queue}"), error))
    }

    async fn open(&self, deadline: Deadline) -> Result<Channel, Error> {
        let channel = self.connection.channel(deadline).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|error| broker_error("switching the channel to confirm mode", error))?;
        Ok(channel)
    }
}
