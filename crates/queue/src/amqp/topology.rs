//! The queues and the routes between them, with arguments that RabbitMQ 3.10 and 4.x both accept.
//!
//! ```text
//!  publish ──> <prefix>.jobs ─────────┐
//!              <prefix>.returned <──┐ │
//!              <prefix>.long        │ ├──lease──> worker ──ack──> deleted
//!              <prefix>.quarantine ─┼─┤             │
//!                 │ too often       │ │             └──forward──> returned, long, quarantine,
//!                 v                 │ │                           delay, parked, held, dead
//!              <prefix>.undelivered ┼─┘
//!                                   ├── delay over ── <prefix>.delay.<seconds>
//!              <prefix>.held        └── time over ─── <prefix>.parked
//!              <prefix>.dead
//! ```
//!
//! The exchange `<prefix>.events` has announcements, to which others bind queues of their own.
//! `<prefix>.uploads` has notifications of uploads, which are not jobs; an exchange of others is bound to it
//! ([`Topology::bind_uploads`]). `<prefix>.watches` has watches of batches, which are no jobs either. They
//! wait in queues of their own, `<prefix>.watches.<seconds>`: where jobs wait, nobody could tell them from
//! jobs, and an empty queue would no longer mean that no job is left.
//!
//! `jobs`, `returned` and `long` exist once per lane: `<prefix>.jobs` is that of the normal lane,
//! `<prefix>.jobs.urgent` and `<prefix>.jobs.bulk` are the others'.
//!
//! All are quorum queues. Messages that the broker itself moves (after a delay, past the delivery
//! limit) are moved at least once, which in RabbitMQ requires `x-overflow: reject-publish`
//! (rabbitmq.com/docs/quorum-queues, "dead lettering"). Each delay has its own queue, because
//! messages leave a queue in order: a short delay would wait behind a long one. A message keeps its
//! routing key when the broker moves it, so the waiting queues serve all lanes: each has an exchange of
//! the same name, to which a message is published with the name of the queue that it is to come back to.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use super::{
    config::AmqpConfig,
    connection::BrokerConnection,
    deadline::Deadline,
    error::{BrokerError, broker_error},
};
use crate::{Destination, Error, ErrorKind, Lane, Origin, QueueDepth};

/// Practically no limit; there is no value for that before RabbitMQ 4.0.
const MAX_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// Names and arguments of all queues of one prefix.
#[derive(Debug)]
pub(super) struct Topology {
    /// The queues from which workers lease, by [`Origin`], in the order of [`Origin::all`].
    origins: Vec<(Origin, String)>,
    held: String,
    dead: String,
    /// The exchange of announcements.
    events: String,
    parked: WaitingQueue,
    /// In ascending order of delay.
    delays: Vec<WaitingQueue>,
    /// The same for [`Origin::Watches`]. They need no exchanges, as all their messages go back there.
    watch_delays: Vec<WaitingQueue>,
    delivery_limit: u32,
}

/// A queue whose messages go back to an origin after a time.
#[derive(Debug)]
struct WaitingQueue {
    /// Also that of its exchange, if it has one.
    name: String,
    time: Duration,
}

/// How a message gets into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route<'a> {
    /// The queue.
    pub(super) queue: &'a str,
    /// Empty: the default exchange.
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    /// Whether it is an error if no queue takes the message.
    pub(super) mandatory: bool,
}

impl<'a> Route<'a> {
    fn to(queue: &'a str) -> Self {
        Self { queue, exchange: "", routing_key: queue, mandatory: true }
    }
}

impl Topology {
    pub(super) fn new(config: &AmqpConfig) -> Self {
        let prefix = &config.prefix;
        let mut seconds = config.retry_delays_seconds.clone();
        seconds.sort_unstable();
        seconds.dedup();
        let waiting = |kind: &str| {
            let queue = |seconds: &u32| WaitingQueue {
                name: format!("{prefix}.{kind}.{seconds}"),
                time: Duration::from_secs((*seconds).into()),
            };
            seconds.iter().map(queue).collect()
        };
        Self {
            origins: Origin::all().map(|origin| (origin, name_of(prefix, origin))).collect(),
            held: format!("{prefix}.held"),
            dead: format!("{prefix}.dead"),
            events: format!("{prefix}.events"),
            parked: WaitingQueue { name: format!("{prefix}.parked"), time: config.lease_time() },
            delays: waiting("delay"),
            watch_delays: waiting("watches"),
            delivery_limit: config.delivery_limit,
        }
    }

    pub(super) fn origin(&self, origin: Origin) -> &str {
        let found = self.origins.iter().find(|(known, _)| *known == origin);
        // All origins are in the list.
        found.map_or("", |(_, name)| name)
    }

    pub(super) fn is_origin(&self, queue: &str) -> bool {
        self.origins.iter().any(|(_, name)| name == queue)
    }

    pub(super) fn dead(&self) -> &str {
        &self.dead
    }

    pub(super) fn held(&self) -> &str {
        &self.held
    }

    pub(super) fn delivery_limit(&self) -> u32 {
        self.delivery_limit
    }

    /// Returns the route of messages to an origin.
    pub(super) fn to_origin(&self, origin: Origin) -> Route<'_> {
        Route::to(self.origin(origin))
    }

    /// Returns the route of announcements of a topic.
    pub(super) fn announcement<'a>(&'a self, topic: &'a str) -> Route<'a> {
        Route { queue: &self.events, exchange: &self.events, routing_key: topic, mandatory: false }
    }

    /// Returns the route of messages of a lane that were leased from `origin` to a destination.
    pub(super) fn route<'a>(
        &'a self,
        destination: &Destination,
        origin: Origin,
        lane: Lane,
    ) -> Route<'a> {
        let back = origin.back(lane);
        let wait = |queue: Option<&'a WaitingQueue>| match queue {
            Some(WaitingQueue { name, .. }) => {
                let routing_key = self.origin(back);
                Route { queue: name, exchange: name, routing_key, mandatory: true }
            }
            None => self.to_origin(back),
        };
        match destination.clone().of(origin, self.parked.time) {
            Destination::Returned => self.to_origin(back),
            Destination::Delayed(delay) if origin == Origin::Watches => {
                let queue = shortest(&self.watch_delays, delay);
                queue.map_or_else(|| self.to_origin(back), |queue| Route::to(&queue.name))
            }
            Destination::Delayed(delay) => wait(shortest(&self.delays, delay)),
            Destination::Parked => wait(Some(&self.parked)),
            Destination::Long => self.to_origin(Origin::Long(lane)),
            Destination::Held => Route::to(&self.held),
            Destination::Quarantine => self.to_origin(Origin::Quarantine),
            Destination::Dead(_) => Route::to(&self.dead),
        }
    }

    /// Returns the queues whose messages wait for a time, and go where their routing key says.
    fn waiting(&self) -> impl Iterator<Item = &WaitingQueue> {
        std::iter::once(&self.parked).chain(&self.delays)
    }

    /// Returns the names of all queues, and of the exchange of announcements: of everything to which
    /// messages are published.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        self.names().chain([self.events.as_str()])
    }

    /// Returns the names of all queues.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [self.dead(), self.held()]
            .into_iter()
            .chain(self.origins.iter().map(|(_, name)| name.as_str()))
            .chain(self.waiting().chain(&self.watch_delays).map(|queue| queue.name.as_str()))
    }

    /// Declares all queues. A queue comes after those that its messages are moved to.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), Error> {
        // Reading the dead letters counts as delivering them, from RabbitMQ 4.0 on up to a default
        // limit after which they would be dropped.
        for name in [&self.dead, &self.held] {
            declare(channel, name, with_delivery_limit(quorum(), MAX_DELIVERY_LIMIT)).await?;
        }
        let undelivered = self.origin(Origin::Undelivered);
        let arguments = with_delivery_limit(dead_lettering(Some(&self.dead)), self.delivery_limit);
        declare(channel, undelivered, arguments).await?;
        for (origin, name) in &self.origins {
            let arguments = match origin {
                Origin::Undelivered => continue,
                // What a batch waits for may take weeks, and outlive many workers.
                Origin::Watches => with_delivery_limit(quorum(), MAX_DELIVERY_LIMIT),
                _ => with_delivery_limit(dead_lettering(Some(undelivered)), self.delivery_limit),
            };
            declare(channel, name, arguments).await?;
        }
        let watches = self.origin(Origin::Watches);
        for WaitingQueue { name, time } in &self.watch_delays {
            declare(channel, name, expiring(dead_lettering(Some(watches)), *time)).await?;
        }
        for WaitingQueue { name, time } in self.waiting() {
            declare(channel, name, expiring(dead_lettering(None), *time)).await?;
            declare_exchange(channel, name, ExchangeKind::Fanout).await?;
            bind(channel, name, name, "").await?;
        }
        declare_exchange(channel, &self.events, ExchangeKind::Topic).await
    }

    /// Binds the queue of uploads to an exchange, which is declared if it does not exist.
    pub(super) async fn bind_uploads(
        &self,
        connection: &BrokerConnection,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Error> {
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        // Its owner may have given it other properties.
        let channel = connection.channel(Deadline::NEVER).await?;
        let found = channel.exchange_declare(
            exchange.into(),
            ExchangeKind::Topic,
            passive,
            FieldTable::default(),
        );
        // A failure closes the channel.
        let channel = if found.await.is_ok() {
            channel
        } else {
            let channel = connection.channel(Deadline::NEVER).await?;
            let options =
                ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let declared = channel.exchange_declare(
                exchange.into(),
                ExchangeKind::Topic,
                options,
                FieldTable::default(),
            );
            let declared = declared.await;
            declared
                .map_err(|error| broker_error(format!("declaring exchange {exchange}"), error))?;
            channel
        };
        bind(&channel, self.origin(Origin::Uploads), exchange, routing_key).await
    }

    pub(super) async fn depth(&self, channel: &Channel) -> Result<QueueDepth, Error> {
        // In the order in which messages move on, so that one that moves meanwhile is counted twice
        // rather than not at all.
        let mut depth =
            QueueDepth { held: count(channel, &self.held).await?, ..Default::default() };
        for queue in &self.delays {
            depth.delayed += count(channel, &queue.name).await?;
        }
        depth.parked = count(channel, &self.parked.name).await?;
        for WaitingQueue { name, .. } in &self.watch_delays {
            depth.watches += count(channel, name).await?;
        }
        for (origin, name) in &self.origins {
            match origin {
                Origin::Uploads => {}
                Origin::Watches => depth.watches += count(channel, name).await?,
                _ => depth.ready += count(channel, name).await?,
            }
        }
        depth.dead = self.count_dead(channel).await?;
        Ok(depth)
    }

    pub(super) async fn count_dead(&self, channel: &Channel) -> Result<u64, Error> {
        count(channel, &self.dead).await
    }

    pub(super) async fn count_held(&self, channel: &Channel) -> Result<u64, Error> {
        count(channel, &self.held).await
    }

    #[cfg(feature = "test-util")]
    pub(super) async fn delete(&self, channel: &Channel) -> Result<(), Error> {
        use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
        for name in self.names() {
            let deleted = channel.queue_delete(name.into(), QueueDeleteOptions::default()).await;
            deleted.map_err(|error| broker_error(format!("deleting queue {name}"), error))?;
        }
        let waiting = self.waiting().map(|queue| queue.name.as_str());
        for name in waiting.chain([self.events.as_str()]) {
            let options = ExchangeDeleteOptions::default();
            let deleted = channel.exchange_delete(name.into(), options).await;
            deleted.map_err(|error| broker_error(format!("deleting exchange {name}"), error))?;
        }
        Ok(())
    }
}

fn name_of(prefix: &str, origin: Origin) -> String {
    let kind = match origin {
        Origin::Jobs(_) => "jobs",
        Origin::Returned(_) => "returned",
        Origin::Long(_) => "long",
        Origin::Quarantine => "quarantine",
        Origin::Undelivered => "undelivered",
        Origin::Uploads => "uploads",
        Origin::Watches => "watches",
    };
    match origin.lane() {
        None | Some(Lane::Normal) => format!("{prefix}.{kind}"),
        Some(lane) => format!("{prefix}.{kind}.{lane}"),
    }
}

/// Returns the queue with the shortest delay of at least `delay`, else the one with the longest. A valid
/// configuration has at least one; without any, the message comes back at once instead of being lost.
fn shortest(delays: &[WaitingQueue], delay: Duration) -> Option<&WaitingQueue> {
    let enough = delays.iter().find(|queue| queue.time >= delay);
    enough.or(delays.last())
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

/// Returns the arguments of a queue whose messages expire after `time`.
fn expiring(mut arguments: FieldTable, time: Duration) -> FieldTable {
    let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(milliseconds));
    arguments
}

/// Returns the arguments of a queue whose messages the broker moves to `target`; `None`: to the queue
/// that the routing key of the message names.
fn dead_lettering(target: Option<&str>) -> FieldTable {
    let mut arguments = quorum();
    let mut set = |name: &str, value: &str| {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    // The default exchange routes a message to the queue that the routing key names.
    set("x-dead-letter-exchange", "");
    if let Some(target) = target {
        set("x-dead-letter-routing-key", target);
    }
    set("x-dead-letter-strategy", "at-least-once");
    set("x-overflow", "reject-publish");
    arguments
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    let declared = declared.await;
    declared.map_err(|error| broker_error(format!("declaring exchange {name}"), error))
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> Result<(), Error> {
    let bound = channel.queue_bind(
        queue.into(),
        exchange.into(),
        routing_key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.map_err(|error| broker_error(format!("binding {queue} to {exchange}"), error))
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
    use crate::DeadLetterReason;

    #[test]
    fn a_retry_takes_the_shortest_delay_that_is_long_enough() {
        let config =
            AmqpConfig { retry_delays_seconds: vec![600, 10, 60, 10], ..AmqpConfig::default() };
        let topology = Topology::new(&config);
        let queue = |milliseconds| {
            let delayed = Destination::Delayed(Duration::from_millis(milliseconds));
            let origin = Origin::Jobs(Lane::Bulk);
            let route = topology.route(&delayed, origin, Lane::Bulk);
            let Route { queue, exchange, routing_key, .. } = route;
            assert_eq!((exchange, routing_key), (queue, "scriptorium.returned.bulk"));
            queue
        };
        assert_eq!(queue(0), "scriptorium.delay.10");
        assert_eq!(queue(10_000), "scriptorium.delay.10");
        assert_eq!(queue(10_001), "scriptorium.delay.60");
        assert_eq!(queue(600_000), "scriptorium.delay.600");
        assert_eq!(queue(86_400_000), "scriptorium.delay.600");
        let names: Vec<_> = topology.names().collect();
        assert_eq!(names.len(), 22, "{names:?}");
        for name in ["jobs", "jobs.urgent", "returned", "long.bulk", "held", "quarantine"] {
            assert!(names.contains(&&*format!("scriptorium.{name}")), "{name}: {names:?}");
        }
    }

    /// Whatever a worker does with a watch, it is never taken for a job.
    #[test]
    fn watches_stay_among_themselves() {
        let topology = Topology::new(&AmqpConfig::default());
        let queue = |destination: Destination| {
            let route = topology.route(&destination, Origin::Watches, Lane::Normal);
            assert_eq!((route.exchange, route.routing_key), ("", route.queue));
            route.queue
        };
        let seconds = |seconds| Destination::Delayed(Duration::from_secs(seconds));
        assert_eq!(queue(seconds(7)), "scriptorium.watches.10");
        assert_eq!(queue(seconds(61)), "scriptorium.watches.600");
        assert_eq!(queue(Destination::Parked), "scriptorium.watches.3600");
        for destination in
            [Destination::Returned, Destination::Long, Destination::Held, Destination::Quarantine]
        {
            assert_eq!(queue(destination), "scriptorium.watches");
        }
        let reason = DeadLetterReason { code: "x".into(), detail: String::new() };
        assert_eq!(queue(Destination::Dead(reason)), "scriptorium.dead");
    }
}
