use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::{Mutex, Semaphore};

use super::{deadline::Deadline, failure::failure, link::Link, topology::Topology};
use crate::{Error, Kind};

/// Enough to keep the broker busy, and a bound to what waits in memory for its confirmation.
const UNCONFIRMED: usize = 512;

/// Publishes to the topology's queues; what it reports as published, the broker has on disk.
#[derive(Debug)]
pub(super) struct Publisher {
    link: Arc<Link>,
    timeout: Duration,
    unconfirmed: Semaphore,
    /// A channel for each queue: lapin hands a returned message to whichever confirmation of the
    /// channel comes next, which does no harm among messages that all go the same way.
    channels: BTreeMap<String, Mutex<Option<Channel>>>,
}

impl Publisher {
    pub(super) fn new(link: Arc<Link>, topology: Arc<Topology>, timeout: Duration) -> Self {
        let channels = topology.names().map(|name| (name.to_owned(), Mutex::default())).collect();
        Self { link, timeout, unconfirmed: Semaphore::new(UNCONFIRMED), channels }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Returns once the broker has confirmed. A connection lost meanwhile leaves the outcome
    /// unknown, so the message is sent again: at least once.
    pub(super) async fn publish(
        &self,
        queue: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), Error> {
        // Never closed, so never an error.
        let _turn = self.unconfirmed.acquire().await;
        let deadline = Deadline::after(Some(self.timeout));
        let unconfirmed = || {
            let seconds = self.timeout.as_secs();
            let message = format!(
                "publishing to {queue}: not confirmed within {seconds} s; the broker may be \
                 unreachable, overloaded, or short of memory or disk"
            );
            Error::new(Kind::Unavailable, message)
        };
        loop {
            let attempt = self.attempt(queue, &properties, body, deadline);
            match deadline.bound(attempt).await {
                None => return Err(unconfirmed()),
                Some(Err(error)) if error.kind == Kind::Unavailable => {
                    tracing::debug!(queue, %error, "publishing again");
                }
                Some(outcome) => return outcome,
            }
        }
    }

    async fn attempt(
        &self,
        queue: &str,
        properties: &BasicProperties,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<(), Error> {
        let publishing = format!("publishing to {queue}");
        let confirmation = self
            .send(queue, properties.clone(), body, deadline)
            .await?
            .await
            .map_err(|error| failure(&publishing, &error))?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                let message = format!("{publishing}: returned, {}", returned.reply_text);
                Err(Error::new(Kind::Unroutable, message))
            }
            Confirmation::Nack(None) => {
                Err(Error::new(Kind::Refused, format!("{publishing}: the broker refused it")))
            }
            Confirmation::NotRequested => {
                Err(Error::new(Kind::Other, format!("{publishing}: the channel does not confirm")))
            }
        }
    }

    /// Writes the message; what it returns completes with the broker's confirmation.
    ///
    /// The lock is held until the message is written: lapin numbers a message before it queues it,
    /// and two tasks in between would receive each other's confirmation.
    async fn send(
        &self,
        queue: &str,
        properties: BasicProperties,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<lapin::PublisherConfirm, Error> {
        let slot = self.channels.get(queue).ok_or_else(|| {
            Error::new(Kind::Other, format!("publishing to {queue}: not one of our queues"))
        })?;
        let mut slot = slot.lock().await;
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.open(deadline).await?,
        };
        let channel = slot.insert(channel);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        channel
            .basic_publish("".into(), queue.into(), options, body, properties)
            .await
            .map_err(|error| failure(&format!("publishing to {queue}"), &error))
    }

    async fn open(&self, deadline: Deadline) -> Result<Channel, Error> {
        let channel = self.link.channel(deadline).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|error| failure("asking for confirmations", &error))?;
        Ok(channel)
    }
}
