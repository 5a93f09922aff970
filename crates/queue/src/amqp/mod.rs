//! The queue on RabbitMQ, 3.10 and later.
//!
//! Publishing and consuming use a connection each: a broker that runs out of memory or disk stops
//! reading from connections that publish, and acknowledgements must not get stuck behind that
//! (rabbitmq.com/docs/connections, "blocked connections"). Reconnecting is ours rather than
//! lapin's, so that a lease of a lost connection is known to be lost.

mod backoff;
mod config;
mod consumer;
mod deadline;
mod failure;
mod lease;
mod link;
mod publisher;
mod topology;
mod wire;

pub use config::{AmqpConfig, AmqpUrl};

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicGetOptions};

use self::{
    consumer::{AmqpConsumer, Subscriber},
    deadline::Deadline,
    failure::failure,
    link::Link,
    publisher::Publisher,
    topology::Topology,
};
use crate::{Consumer, DeadLetter, Depth, Error, Kind, Message, Queue};

/// The queues of one prefix on one broker, declared if they were not there.
pub struct AmqpQueue {
    config: AmqpConfig,
    topology: Arc<Topology>,
    publisher: Arc<Publisher>,
    consuming: Arc<Link>,
}

impl AmqpQueue {
    /// Connects, waiting while the broker is down: up to `connect_timeout_seconds`, then
    /// [`Kind::Unavailable`]. Fails at once with [`Kind::Denied`] on a wrong password and with
    /// [`Kind::Mismatch`] where a queue exists with other properties.
    pub async fn connect(config: AmqpConfig) -> Result<Self, Error> {
        config.validate()?;
        let topology = Arc::new(Topology::new(&config));
        let link = |purpose| Arc::new(Link::new(&config, purpose, topology.clone()));
        let publishing = link("publisher");
        publishing.channel(Deadline::after(config.connect_timeout())).await?;
        let publisher =
            Arc::new(Publisher::new(publishing, topology.clone(), config.publish_timeout()));
        Ok(Self { consuming: link("consumer"), topology, publisher, config })
    }

    /// Deletes the queues with all that is in them. For tests.
    pub async fn destroy(self) -> Result<(), Error> {
        self.topology.delete(&self.channel().await?).await
    }

    async fn channel(&self) -> Result<lapin::Channel, Error> {
        let deadline = Deadline::after(Some(self.config.publish_timeout()));
        self.publisher.link().channel(deadline).await
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpQueue").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for AmqpQueue {
    /// Survives a broken connection within `publish_timeout_seconds`, perhaps at the price of a
    /// duplicate.
    async fn publish(&self, message: Message) -> Result<(), Error> {
        let properties = wire::job(&message)?;
        self.publisher.publish(self.topology.jobs(), properties, &message.body).await
    }

    /// Connects in the background: [`Consumer::next`] waits for it.
    async fn consume(&self, in_flight: u16) -> Result<Box<dyn Consumer>, Error> {
        if in_flight == 0 {
            return Err(Error::new(Kind::Other, "in_flight must be at least 1"));
        }
        let subscriber = Subscriber::new(self.consuming.clone(), self.topology.clone(), in_flight);
        Ok(Box::new(AmqpConsumer::new(subscriber, self.publisher.clone())))
    }

    /// Counts as of a moment ago; leased messages are not among them.
    async fn depth(&self) -> Result<Depth, Error> {
        self.topology.depth(&self.channel().await?).await
    }

    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let channel = self.channel().await?;
        let mut taken = Vec::new();
        let mut last = None;
        while taken.len() < limit {
            let options = BasicGetOptions { no_ack: false };
            let got = channel
                .basic_get(self.topology.dead().into(), options)
                .await
                .map_err(|error| failure("reading dead letters", &error))?;
            let Some(got) = got else { break };
            taken.push(wire::read_dead_letter(&got.delivery, &self.topology));
            last = Some(got.delivery.acker);
        }
        // Taken for good only once all are here: a failure before this line loses none.
        if let Some(acker) = last {
            acker
                .ack(BasicAckOptions { multiple: true })
                .await
                .map_err(|error| failure("taking dead letters", &error))?;
        }
        Ok(taken)
    }
}
