//! The queue on RabbitMQ, 3.10 and later.
//!
//! Publishing and consuming use separate connections. A broker short of memory or disk stops reading
//! from connections that publish, and that must not delay acknowledgements
//! (rabbitmq.com/docs/connections, "blocked connections"). This module reconnects itself instead of
//! using lapin's recovery, so that it knows which leases are lost with a connection.

mod backoff;
mod config;
mod connection;
mod consumer;
mod dead_letters;
mod deadline;
mod envelope;
mod error;
mod held;
mod lease;
mod publisher;
mod tls;
mod topology;
#[cfg(feature = "test-util")]
pub mod untrusted;
mod wire;

pub use config::{AmqpConfig, AmqpUrl};
pub use envelope::{Envelope, Header, Names, Properties};

use std::{fmt, sync::Arc, time::Duration};

use self::{
    connection::BrokerConnection,
    consumer::{AmqpConsumer, Subscriber},
    dead_letters::AmqpDeadLetters,
    deadline::Deadline,
    publisher::Publisher,
    topology::Topology,
};
use crate::{
    Announcement, Consumer, DeadLetters, Error, ErrorKind, Message, Origin, Queue, QueueDepth,
    Wanted,
};
use async_trait::async_trait;

/// A queue on RabbitMQ: all queues of one prefix on one broker.
pub struct AmqpQueue {
    config: AmqpConfig,
    topology: Arc<Topology>,
    publisher: Arc<Publisher>,
    consumer_connection: Arc<BrokerConnection>,
}

impl AmqpQueue {
    /// Connects and declares the queues that do not exist yet. Waits up to
    /// `connect_timeout_seconds` for a broker that is down.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unavailable`] if the broker stays down.
    /// - [`ErrorKind::Denied`], at once, on a wrong password or a missing permission.
    /// - [`ErrorKind::Mismatch`], at once, if a queue exists with properties other than configured.
    /// - [`ErrorKind::Other`] if the configuration is invalid.
    pub async fn connect(config: AmqpConfig) -> Result<Self, Error> {
        config.validate()?;
        let topology = Arc::new(Topology::new(&config));
        let connection =
            |purpose| Arc::new(BrokerConnection::new(&config, purpose, topology.clone()));
        let consumer_connection = connection("consumer");
        let publisher_connection = connection("publisher");
        publisher_connection.channel(Deadline::after(config.connect_timeout())).await?;
        let publisher =
            Publisher::new(publisher_connection, topology.clone(), config.publish_timeout());
        Ok(Self { consumer_connection, topology, publisher: Arc::new(publisher), config })
    }

    /// Lets messages that others publish to `exchange` come to [`Origin::Uploads`]. The exchange is
    /// declared, with the type `topic`, unless it exists.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub async fn bind_uploads(&self, exchange: &str, routing_key: &str) -> Result<(), Error> {
        self.topology.bind_uploads(self.publisher.connection(), exchange, routing_key).await
    }

    /// Deletes the queues and all their messages.
    #[cfg(feature = "test-util")]
    pub async fn delete_queues(self) -> Result<(), Error> {
        self.topology.delete(&self.channel().await?).await
    }

    async fn channel(&self) -> Result<lapin::Channel, Error> {
        let deadline = Deadline::after(Some(self.config.publish_timeout()));
        self.publisher.connection().channel(deadline).await
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpQueue").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for AmqpQueue {
    /// Publishes again after a broken connection, within `publish_timeout_seconds`, which may
    /// duplicate the message.
    async fn publish(&self, message: Message) -> Result<(), Error> {
        let properties = wire::properties(&message, None)?;
        let route = self.topology.to_origin(Origin::Jobs(message.lane));
        self.publisher.publish(route, properties, &message.body).await
    }

    async fn publish_watch(&self, message: Message) -> Result<(), Error> {
        let properties = wire::properties(&message, None)?;
        let route = self.topology.to_origin(Origin::Watches);
        self.publisher.publish(route, properties, &message.body).await
    }

    /// Returns at once; [`Consumer::next`] connects and subscribes.
    async fn consume(&self, origin: Origin, in_flight: u16) -> Result<Box<dyn Consumer>, Error> {
        if in_flight == 0 {
            return Err(Error::new(ErrorKind::Other, "in_flight must be at least 1"));
        }
        let (connection, topology) = (self.consumer_connection.clone(), self.topology.clone());
        let subscriber = Subscriber::new(connection, topology, origin, in_flight);
        Ok(Box::new(AmqpConsumer::new(subscriber, self.publisher.clone())))
    }

    fn lease_time(&self) -> Duration {
        self.config.lease_time()
    }

    fn is_connected(&self) -> bool {
        self.consumer_connection.is_connected()
    }

    /// Returns the broker's counts, which may lag behind by a moment.
    async fn depth(&self) -> Result<QueueDepth, Error> {
        self.topology.depth(&self.channel().await?).await
    }

    async fn release_held(&self, wanted: Wanted<'_>) -> Result<u64, Error> {
        held::release(self.channel().await?, &self.publisher, &self.topology, wanted).await
    }

    async fn announce(&self, announcement: Announcement) -> Result<(), Error> {
        let properties = wire::announcement(&announcement)?;
        let route = self.topology.announcement(&announcement.topic);
        self.publisher.publish(route, properties, &announcement.body).await
    }

    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, Error> {
        let (publisher, topology) = (self.publisher.clone(), self.topology.clone());
        let letters = AmqpDeadLetters::open(self.channel().await?, publisher, topology);
        Ok(Box::new(letters.await?))
    }
}
