use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture};
use lapin::{
    Channel,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    backoff::Backoff,
    deadline::Deadline,
    failure::failure,
    lease::{AmqpLease, REQUEUE},
    link::Link,
    publisher::Publisher,
    topology::Topology,
};
use crate::{Consumer, Error, Lease};

/// For the broker to say that it sends no more. Past that, its connection's end will do the same.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct AmqpConsumer {
    subscriber: Arc<Subscriber>,
    publisher: Arc<Publisher>,
    /// The broker's prefetch bounds what one subscription has handed out; this bounds what the
    /// worker holds, leases of lost subscriptions included.
    slots: Arc<Semaphore>,
    source: Source,
}

enum Source {
    /// Kept here, so that a cancelled `next` does not start it over.
    Subscribing(BoxFuture<'static, Subscription>),
    Subscribed(Box<Subscription>),
    Stopped,
}

struct Subscription {
    channel: Channel,
    deliveries: lapin::Consumer,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    link: Arc<Link>,
    topology: Arc<Topology>,
    in_flight: u16,
}

impl AmqpConsumer {
    pub(super) fn new(subscriber: Subscriber, publisher: Arc<Publisher>) -> Self {
        let slots = Arc::new(Semaphore::new(subscriber.in_flight.into()));
        let subscriber = Arc::new(subscriber);
        let source = subscriber.clone().start();
        Self { subscriber, publisher, slots, source }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Box<dyn Lease>> {
        if matches!(self.source, Source::Stopped) {
            return None;
        }
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        loop {
            let subscription = match &mut self.source {
                Source::Subscribing(subscribing) => {
                    self.source = Source::Subscribed(Box::new(subscribing.await));
                    continue;
                }
                Source::Subscribed(subscription) => subscription,
                Source::Stopped => return None,
            };
            match subscription.deliveries.next().await {
                Some(Ok(delivery)) => {
                    let channel = subscription.channel.clone();
                    let topology = self.subscriber.topology.clone();
                    let publisher = self.publisher.clone();
                    let lease = AmqpLease::new(delivery, channel, slot, publisher, topology);
                    return Some(Box::new(lease));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the broker broke off; unsettled leases are lost");
                }
                None => tracing::warn!("the broker ended our subscription, subscribing again"),
            }
            self.source = self.subscriber.clone().start();
        }
    }

    async fn stop(&mut self) {
        if let Source::Subscribed(subscription) =
            std::mem::replace(&mut self.source, Source::Stopped)
        {
            subscription.end().await;
        }
    }
}

impl Subscriber {
    pub(super) fn new(link: Arc<Link>, topology: Arc<Topology>, in_flight: u16) -> Self {
        Self { link, topology, in_flight }
    }

    fn start(self: Arc<Self>) -> Source {
        Source::Subscribing(Box::pin(async move { self.subscribe().await }))
    }

    /// Keeps trying: a worker that cannot reach its queue has nothing better to do.
    async fn subscribe(&self) -> Subscription {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.try_subscribe().await {
                Ok(subscription) => return subscription,
                Err(error) => error,
            };
            let delay = backoff.delay();
            let retry_in_ms = delay.as_millis() as u64;
            tracing::error!(retry_in_ms, %error, "cannot consume, trying again");
            sleep(delay).await;
        }
    }

    async fn try_subscribe(&self) -> Result<Subscription, Error> {
        let queue = self.topology.jobs();
        let consuming = |error| failure(&format!("consuming from {queue}"), &error);

        let channel = self.link.channel(Deadline::NEVER).await?;
        // Somebody may have deleted the queues, which is one reason to be here again.
        self.topology.declare(&channel).await?;
        let qos = channel.basic_qos(self.in_flight, BasicQosOptions::default());
        qos.await.map_err(consuming)?;
        let options = BasicConsumeOptions::default();
        let deliveries =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let deliveries = deliveries.await.map_err(consuming)?;
        tracing::debug!(queue, in_flight = self.in_flight, "consuming");
        Ok(Subscription { channel, deliveries })
    }
}

impl Subscription {
    /// Gives back what the broker had sent ahead. Leases keep the channel open.
    async fn end(mut self) {
        let ended = timeout(CANCEL_TIMEOUT, async {
            let tag = self.deliveries.tag();
            self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            while let Some(delivery) = self.deliveries.next().await {
                delivery?.acker.nack(REQUEUE).await?;
            }
            Ok::<(), lapin::Error>(())
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the subscription was over already"),
            Err(_) => tracing::warn!("the broker does not answer, leaving anyway"),
        }
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Stopped);
        if let (Source::Subscribed(subscription), Ok(runtime)) = (source, Handle::try_current()) {
            runtime.spawn(subscription.end());
        }
    }
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}
