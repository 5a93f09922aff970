//! The queues and the routes between them, with arguments that RabbitMQ 3.10 and 4.x both accept.
//!
//! ```text
//!  publish ──> <prefix>.jobs ─────────┐
//!              <prefix>.returned <──┐ ├──lease──> worker ──ack──> deleted
//!              <prefix>.quarantine ─┼─┤             │
//!                 │ too often       │ │             └──forward──> returned, quarantine,
//!                 v                 │ │                           delay, parked, dead
//!              <prefix>.undelivered ┼─┘
//!                                   ├── delay over ── <prefix>.delay.<seconds>
//!              <prefix>.dead        └── time over ─── <prefix>.parked
//! ```
//!
//! All are quorum queues. Messages that the broker itself moves (after a delay, past the delivery
//! limit) are moved at least once, which in RabbitMQ requires `x-overflow: reject-publish`
//! (rabbitmq.com/docs/quorum-queues, "dead lettering"). Each delay has its own queue, because
//! messages leave a queue in order: a short delay would wait behind a long one.

use std::time::Duration;

use lapin::{
    Channel,
    options::QueueDeclareOptions,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use super::{
    config::AmqpConfig,
    error::{BrokerError, broker_error},
};
use crate::{Destination, Error, ErrorKind, Lane, QueueDepth};

/// Practically no limit; there is no value for that before RabbitMQ 4.0.
const MAX_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// Names and arguments of all queues of one prefix.
#[derive(Debug)]
pub(super) struct Topology {
    jobs: String,
    returned: String,
    quarantine: String,
    undelivered: String,
    dead: String,
    parked: WaitingQueue,
    /// In ascending order of delay.
    delays: Vec<WaitingQueue>,
    delivery_limit: u32,
}

/// A queue whose messages go to [`Lane::Returned`] after a time.
#[derive(Debug)]
struct WaitingQueue {
    name: String,
    time: Duration,
}

impl Topology {
    pub(super) fn new(config: &AmqpConfig) -> Self {
        let prefix = &config.prefix;
        let mut seconds = config.retry_delays_seconds.clone();
        seconds.sort_unstable();
        seconds.dedup();
        let delay = |seconds: u32| WaitingQueue {
            name: format!("{prefix}.delay.{seconds}"),
            time: Duration::from_secs(seconds.into()),
        };
        Self {
            jobs: format!("{prefix}.jobs"),
            returned: format!("{prefix}.returned"),
            quarantine: format!("{prefix}.quarantine"),
            undelivered: format!("{prefix}.undelivered"),
            dead: format!("{prefix}.dead"),
            parked: WaitingQueue { name: format!("{prefix}.parked"), time: config.lease_time() },
            delays: seconds.into_iter().map(delay).collect(),
            delivery_limit: config.delivery_limit,
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> &str {
        match lane {
            Lane::Jobs => &self.jobs,
            Lane::Returned => &self.returned,
            Lane::Quarantine => &self.quarantine,
            Lane::Undelivered => &self.undelivered,
        }
    }

    pub(super) fn is_lane(&self, queue: &str) -> bool {
        Lane::ALL.iter().any(|lane| self.lane(*lane) == queue)
    }

    pub(super) fn dead(&self) -> &str {
        &self.dead
    }

    pub(super) fn delivery_limit(&self) -> u32 {
        self.delivery_limit
    }

    /// Returns the queue of a destination.
    pub(super) fn destination(&self, destination: &Destination) -> &str {
        match destination {
            Destination::Returned => &self.returned,
            Destination::Delayed(delay) => self.delay(*delay),
            Destination::Parked => &self.parked.name,
            Destination::Quarantine => &self.quarantine,
            Destination::Dead(_) => &self.dead,
        }
    }

    /// Returns the queue with the shortest delay of at least `delay`, else the one with the longest.
    fn delay(&self, delay: Duration) -> &str {
        let enough = self.delays.iter().find(|queue| queue.time >= delay);
        // A valid configuration has at least one delay. Without any, the job comes back at once
        // instead of being lost.
        enough.or(self.delays.last()).map_or(&self.returned, |queue| &queue.name)
    }

    /// Returns the queues whose messages wait for a time.
    fn waiting(&self) -> impl Iterator<Item = &WaitingQueue> {
        std::iter::once(&self.parked).chain(&self.delays)
    }

    /// Returns the names of all queues, in the order in which they must be declared.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        // A queue comes after those that its messages are moved to.
        let lanes = Lane::ALL.iter().rev().map(|lane| self.lane(*lane));
        std::iter::once(self.dead())
            .chain(lanes)
            .chain(self.waiting().map(|queue| queue.name.as_str()))
    }

    /// Declares all queues.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), Error> {
        // Reading the dead letters counts as delivering them, from RabbitMQ 4.0 on up to a default
        // limit after which they would be dropped.
        declare(channel, &self.dead, with_delivery_limit(quorum(), MAX_DELIVERY_LIMIT)).await?;
        for lane in Lane::ALL.into_iter().rev() {
            let given_up = if lane == Lane::Undelivered { &self.dead } else { &self.undelivered };
            let arguments = with_delivery_limit(dead_lettering(given_up), self.delivery_limit);
            declare(channel, self.lane(lane), arguments).await?;
        }
        for WaitingQueue { name, time } in self.waiting() {
            let mut arguments = dead_lettering(&self.returned);
            let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(milliseconds));
            declare(channel, name, arguments).await?;
        }
        Ok(())
    }

    pub(super) async fn depth(&self, channel: &Channel) -> Result<QueueDepth, Error> {
        let mut depth = QueueDepth::default();
        // In the order in which messages move on, so that one that moves meanwhile is counted twice
        // rather than not at all.
        for queue in &self.delays {
            depth.delayed += count(channel, &queue.name).await?;
        }
        depth.parked = count(channel, &self.parked.name).await?;
        for lane in Lane::ALL {
            depth.ready += count(channel, self.lane(lane)).await?;
        }
        depth.dead = self.count_dead(channel).await?;
        Ok(depth)
    }

    pub(super) async fn count_dead(&self, channel: &Channel) -> Result<u64, Error> {
        count(channel, &self.dead).await
    }

    #[cfg(feature = "test-util")]
    pub(super) async fn delete(&self, channel: &Channel) -> Result<(), Error> {
        for name in self.names() {
            channel
                .queue_delete(name.into(), lapin::options::QueueDeleteOptions::default())
                .await
                .map_err(|error| broker_error(format!("deleting queue {name}"), error))?;
        }
        Ok(())
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

fn with_delivery_limit(mut arguments: FieldTable, limit: u32) -> FieldTable {
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit.into()));
    arguments
}

fn dead_lettering(target: &str) -> FieldTable {
    let mut arguments = quorum();
    let mut set = |name: &str, value: &str| {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    // The default exchange routes a message to the queue that the routing key names.
    set("x-dead-letter-exchange", "");
    set("x-dead-letter-routing-key", target);
    set("x-dead-letter-strategy", "at-least-once");
    set("x-overflow", "reject-publish");
    arguments
}

async fn declare(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), Error> {
    let declared =
        channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await;
    let Err(error) = declared else { return Ok(()) };
    let precondition = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
    if matches!(error.kind(), lapin::ErrorKind::ProtocolError(refusal) if *refusal.kind() == precondition)
    {
        let context = format!(
            "queue {name} exists with properties other than configured; change the prefix or the \
             configuration, or delete the queue"
        );
        return Err(Error::new(ErrorKind::Mismatch, context).with_source(BrokerError(error)));
    }
    Err(broker_error(format!("declaring queue {name}"), error))
}

async fn count(channel: &Channel, name: &str) -> Result<u64, Error> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let queue = channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await
        .map_err(|error| broker_error(format!("counting queue {name}"), error))?;
    Ok(queue.message_count().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_takes_the_shortest_delay_that_is_long_enough() {
        let config =
            AmqpConfig { retry_delays_seconds: vec![600, 10, 60, 10], ..AmqpConfig::default() };
        let topology = Topology::new(&config);
        let queue = |milliseconds| topology.delay(Duration::from_millis(milliseconds));
        assert_eq!(queue(0), "scriptorium.delay.10");
        assert_eq!(queue(10_000), "scriptorium.delay.10");
        assert_eq!(queue(10_001), "scriptorium.delay.60");
        assert_eq!(queue(600_000), "scriptorium.delay.600");
        assert_eq!(queue(86_400_000), "scriptorium.delay.600");
        assert_eq!(topology.names().count(), 9);
    }
}
