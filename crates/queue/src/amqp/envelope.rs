//! What a publisher sets besides the body of a message, for people and programs to read.

use std::collections::BTreeMap;

use lapin::types::AMQPValue;
use serde::Serialize;

use super::{AmqpConfig, topology::Topology, wire};
use crate::{Error, Lane, Message, Origin};

/// Where a new message is published, and its properties and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// Empty: the default exchange, whose routing keys are names of queues.
    pub exchange: String,
    /// The queue, and the routing key.
    pub queue: String,
    pub properties: Properties,
    pub headers: BTreeMap<String, Header>,
}

/// Properties of AMQP's class `basic`, without the timestamp, which is the time of publishing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Properties {
    pub content_type: String,
    pub delivery_mode: u8,
    pub message_id: String,
}

/// Value of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Header {
    Number(i64),
    Text(String),
}

impl Envelope {
    /// Returns that of a message that would be published with [`crate::Queue::publish`].
    ///
    /// # Errors
    ///
    /// The id of the message is too long.
    pub fn of(config: &AmqpConfig, message: &Message) -> Result<Self, Error> {
        let topology = Topology::new(config);
        let route = topology.to_origin(Origin::Jobs(message.lane));
        let properties = wire::properties(message, None)?;
        let text = |text: &Option<lapin::types::ShortString>| {
            text.as_ref().map(ToString::to_string).unwrap_or_default()
        };
        let headers = properties.headers().iter().flat_map(|table| table.inner());
        let headers = headers.filter_map(|(name, value)| {
            let value = match value {
                AMQPValue::LongLongInt(number) => Header::Number(*number),
                AMQPValue::LongString(text) => Header::Text(text.to_string()),
                _ => return None,
            };
            Some((name.to_string(), value))
        });
        Ok(Self {
            exchange: route.exchange.to_owned(),
            queue: route.routing_key.to_owned(),
            headers: headers.collect(),
            properties: Properties {
                content_type: text(properties.content_type()),
                delivery_mode: properties.delivery_mode().unwrap_or_default(),
                message_id: text(properties.message_id()),
            },
        })
    }
}

/// Names of what programs other than this one publish to and read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Queues of new jobs.
    pub jobs: Vec<(Lane, String)>,
    /// Queue of jobs that were given up.
    pub dead: String,
    /// Queue of watches of batches.
    pub watches: String,
    /// Exchange of events.
    pub events: String,
}

impl Names {
    pub fn of(config: &AmqpConfig) -> Self {
        let topology = Topology::new(config);
        let name = |origin| topology.origin(origin).to_owned();
        Self {
            jobs: Lane::ALL.iter().map(|lane| (*lane, name(Origin::Jobs(*lane)))).collect(),
            dead: topology.dead().to_owned(),
            watches: name(Origin::Watches),
            events: topology.announcement("").exchange.to_owned(),
        }
    }
}
