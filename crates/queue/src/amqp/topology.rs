//! The queues and the routes between them, with arguments that RabbitMQ 3.10 and 4.x both accept.
//!
//! ```text
//!  publish ──> <prefix>.jobs ──lease──> worker ──ack──> deleted
//!                ^      │                │  │
//!                │      │ too often      │  └─dead_letter──┐
//!                │      └──> <prefix>.dead <───────────────┘
//!                └─ delay over ── <prefix>.retry.<seconds> <──retry── worker
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
use crate::{Error, ErrorKind, QueueDepth};

/// Names and arguments of all queues of one prefix.
#[derive(Debug)]
pub(super) struct Topology {
    jobs: String,
    dead: String,
    /// In ascending order of delay.
    retries: Vec<RetryQueue>,
    delivery_limit: u32,
}

#[derive(Debug)]
struct RetryQueue {
    name: String,
    delay: Duration,
}

impl Topology {
    pub(super) fn new(config: &AmqpConfig) -> Self {
        let prefix = &config.prefix;
        let mut seconds = config.retry_delays_seconds.clone();
        seconds.sort_unstable();
        seconds.dedup();
        let retry = |seconds: u32| RetryQueue {
            name: format!("{prefix}.retry.{seconds}"),
            delay: Duration::from_secs(seconds.into()),
        };
        Self {
            jobs: format!("{prefix}.jobs"),
            dead: format!("{prefix}.dead"),
            retries: seconds.into_iter().map(retry).collect(),
            delivery_limit: config.delivery_limit,
        }
    }

    pub(super) fn jobs(&self) -> &str {
        &self.jobs
    }

    pub(super) fn dead(&self) -> &str {
        &self.dead
    }

    pub(super) fn delivery_limit(&self) -> u32 {
        self.delivery_limit
    }

    /// Returns the queue with the shortest delay of at least `delay`, else the one with the longest.
    pub(super) fn retry(&self, delay: Duration) -> &str {
        let enough = self.retries.iter().find(|retry| retry.delay >= delay);
        // A valid configuration has at least one delay. Without any, the job comes back at once
        // instead of being lost.
        enough.or(self.retries.last()).map_or(&self.jobs, |retry| &retry.name)
    }

    /// Returns the names of all queues, in the order in which they must be declared.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let retries = self.retries.iter().map(|retry| retry.name.as_str());
        [self.dead(), self.jobs()].into_iter().chain(retries)
    }

    /// Declares all queues.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), Error> {
        declare(channel, &self.dead, quorum()).await?;

        let mut jobs = dead_lettering(&self.dead);
        jobs.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(self.delivery_limit.into()));
        declare(channel, &self.jobs, jobs).await?;

        for RetryQueue { name, delay } in &self.retries {
            let mut retry = dead_lettering(&self.jobs);
            let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            retry.insert("x-message-ttl".into(), AMQPValue::LongLongInt(milliseconds));
            declare(channel, name, retry).await?;
        }
        Ok(())
    }

    pub(super) async fn depth(&self, channel: &Channel) -> Result<QueueDepth, Error> {
        let mut delayed = 0;
        for retry in &self.retries {
            delayed += count(channel, &retry.name).await?;
        }
        let ready = count(channel, &self.jobs).await?;
        let dead = count(channel, &self.dead).await?;
        Ok(QueueDepth { ready, delayed, dead })
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
        let queue = |milliseconds| topology.retry(Duration::from_millis(milliseconds));
        assert_eq!(queue(0), "scriptorium.retry.10");
        assert_eq!(queue(10_000), "scriptorium.retry.10");
        assert_eq!(queue(10_001), "scriptorium.retry.60");
        assert_eq!(queue(600_000), "scriptorium.retry.600");
        assert_eq!(queue(86_400_000), "scriptorium.retry.600");
        assert_eq!(topology.names().count(), 5);
    }
}
