//! The consumer on RabbitMQ: subscribes, and subscribes again after a lost connection.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture};
use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    backoff::Backoff,
    connection::BrokerConnection,
    deadline::Deadline,
    error::broker_error,
    lease::{AmqpLease, REQUEUE, SubscriptionHandle},
    publisher::Publisher,
    topology::Topology,
    wire,
};
use crate::{Consumer, Error, Lease, Origin};

/// Limit on cancelling the subscription. After that, closing the connection has the same effect.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct AmqpConsumer {
    subscriber: Arc<Subscriber>,
    publisher: Arc<Publisher>,
    /// Bounds the leases that the worker holds, those of lost subscriptions included. The broker's
    /// prefetch limit bounds only those of one subscription.
    slots: Arc<Semaphore>,
    state: State,
}

enum State {
    /// The future is kept here so that a cancelled `next` does not start it again.
    Subscribing(BoxFuture<'static, Subscription>),
    Subscribed(Box<Subscription>),
    Stopped,
}

struct Subscription {
    handle: SubscriptionHandle,
    deliveries: lapin::Consumer,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    connection: Arc<BrokerConnection>,
    topology: Arc<Topology>,
    origin: Origin,
    in_flight: u16,
}

impl AmqpConsumer {
    pub(super) fn new(subscriber: Subscriber, publisher: Arc<Publisher>) -> Self {
        let slots = Arc::new(Semaphore::new(subscriber.in_flight.into()));
        let subscriber = Arc::new(subscriber);
        let state = subscriber.clone().start();
        Self { subscriber, publisher, slots, state }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Box<dyn Lease>> {
        if matches!(self.state, State::Stopped) {
            return None;
        }
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        loop {
            let subscription = match &mut self.state {
                State::Subscribing(subscribing) => {
                    self.state = State::Subscribed(Box::new(subscribing.await));
                    continue;
                }
                State::Subscribed(subscription) => subscription,
                State::Stopped => return None,
            };
            match subscription.deliveries.next().await {
                Some(Ok(delivery)) => {
                    let origin = self.subscriber.origin;
                    let handle = subscription.handle.clone();
                    let topology = self.subscriber.topology.clone();
                    let publisher = self.publisher.clone();
                    let lease = AmqpLease::new(delivery, origin, handle, slot, publisher, topology);
                    return Some(Box::new(lease));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the subscription failed; unsettled leases are lost");
                }
                None => tracing::warn!("the broker ended the subscription, subscribing again"),
            }
            subscription.handle.ended_by_broker.store(true, Ordering::Relaxed);
            self.state = self.subscriber.clone().start();
        }
    }

    async fn pause(&mut self) {
        if matches!(self.state, State::Subscribed(_)) {
            let state = self.subscriber.clone().start();
            self.end(state).await;
        }
    }

    async fn stop(&mut self) {
        self.end(State::Stopped).await;
    }
}

impl AmqpConsumer {
    /// Ends the subscription, if there is one, and changes to another state.
    async fn end(&mut self, state: State) {
        if let State::Subscribed(subscription) = std::mem::replace(&mut self.state, state) {
            subscription.end(&self.subscriber, &self.publisher).await;
        }
    }
}

impl Subscriber {
    pub(super) fn new(
        connection: Arc<BrokerConnection>,
        topology: Arc<Topology>,
        origin: Origin,
        in_flight: u16,
    ) -> Self {
        Self { connection, topology, origin, in_flight }
    }

    fn start(self: Arc<Self>) -> State {
        State::Subscribing(Box::pin(async move { self.subscribe().await }))
    }

    /// Retries without end, because a worker has no work without its queue.
    async fn subscribe(&self) -> Subscription {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.try_subscribe().await {
                Ok(subscription) => return subscription,
                Err(error) => error,
            };
            let delay = backoff.next_delay();
            let retry_in_ms = delay.as_millis() as u64;
            tracing::error!(retry_in_ms, error = %format_args!("{error:#}"), "cannot consume, trying again");
            sleep(delay).await;
        }
    }

    async fn try_subscribe(&self) -> Result<Subscription, Error> {
        let queue = self.topology.origin(self.origin);
        let consuming = |error| broker_error(format!("consuming from {queue}"), error);

        let channel = self.connection.channel(Deadline::NEVER).await?;
        // Deleting a queue ends its subscriptions, so the queue may have to be declared again.
        self.topology.declare(&channel).await?;
        let qos = channel.basic_qos(self.in_flight, BasicQosOptions::default());
        qos.await.map_err(consuming)?;
        let options = BasicConsumeOptions::default();
        let deliveries =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let deliveries = deliveries.await.map_err(consuming)?;
        tracing::debug!(queue, in_flight = self.in_flight, "consuming");
        let ended_by_broker = Arc::new(AtomicBool::new(false));
        Ok(Subscription { handle: SubscriptionHandle { channel, ended_by_broker }, deliveries })
    }
}

impl Subscription {
    /// Ends the subscription and returns the messages that the broker sent ahead. Leases keep the
    /// channel open.
    async fn end(mut self, subscriber: &Subscriber, publisher: &Publisher) {
        let ended = timeout(CANCEL_TIMEOUT, async {
            let tag = self.deliveries.tag();
            self.handle.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            while let Some(delivery) = self.deliveries.next().await {
                return_unused(delivery?, subscriber, publisher).await?;
            }
            Ok::<(), lapin::Error>(())
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the subscription had already ended"),
            Err(_) => {
                tracing::warn!("the broker did not end the subscription in time, stopping anyway")
            }
        }
    }
}

/// Returns a message that nobody has looked at. It is published anew, because a rejected message
/// would count towards the delivery limit, and would come back as one that may have killed a worker.
async fn return_unused(
    delivery: Delivery,
    subscriber: &Subscriber,
    publisher: &Publisher,
) -> lapin::Result<()> {
    let message = wire::read_message(&delivery, subscriber.origin.lane());
    let origin = match subscriber.origin {
        // At the head of the work instead of its end, where it was.
        Origin::Jobs(lane) => Origin::Returned(lane),
        origin => origin,
    };
    let route = subscriber.topology.to_origin(origin);
    let properties = wire::unused(&message, wire::is_redelivered(&delivery));
    let moved = match properties {
        Ok(properties) => publisher.publish(route, properties, &message.body).await.is_ok(),
        Err(_) => false,
    };
    if moved {
        delivery.acker.ack(BasicAckOptions::default()).await?;
    } else {
        delivery.acker.reject(REQUEUE).await?;
    }
    Ok(())
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        if let (State::Subscribed(subscription), Ok(runtime)) = (state, Handle::try_current()) {
            let (subscriber, publisher) = (self.subscriber.clone(), self.publisher.clone());
            runtime.spawn(async move { subscription.end(&subscriber, &publisher).await });
        }
    }
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}
