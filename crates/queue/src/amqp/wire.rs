//! How messages and dead letters look in AMQP.
//!
//! The id is the `message-id` property. Headers: `attempt`; for our dead letters also `code` and
//! `detail`. What the broker adds: `x-delivery-count` (how often a quorum queue took the message
//! back), `x-death` (why it moved it).

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::topology::Topology;
use crate::{DeadLetter, Error, Kind, Message, Reason};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;
/// The headers of a message share one frame; RabbitMQ's default limit is 128 KiB.
const LONGEST_HEADER: usize = 16 * 1024;

const ATTEMPT: &str = "attempt";
const CODE: &str = "code";
const DETAIL: &str = "detail";

pub(super) fn job(message: &Message) -> Result<BasicProperties, Error> {
    properties(message, message.attempt, None)
}

pub(super) fn retried_job(message: &Message) -> Result<BasicProperties, Error> {
    properties(message, message.attempt.saturating_add(1), None)
}

pub(super) fn dead_letter(message: &Message, reason: &Reason) -> Result<BasicProperties, Error> {
    properties(message, message.attempt, Some(reason))
}

fn properties(
    message: &Message,
    attempt: u32,
    reason: Option<&Reason>,
) -> Result<BasicProperties, Error> {
    let id = ShortString::try_new(message.id.as_str())
        .map_err(|error| Error::new(Kind::Other, format!("message id: {error}")))?;
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    if let Some(Reason { code, detail }) = reason {
        headers.insert(CODE.into(), AMQPValue::LongString(shortened(code).into()));
        headers.insert(DETAIL.into(), AMQPValue::LongString(shortened(detail).into()));
    }
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id)
        .with_headers(headers))
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_HEADER)]
}

/// Anybody may have published this: what is missing or odd reads as empty or zero.
pub(super) fn read_message(delivery: &Delivery) -> Message {
    let id = delivery.properties.message_id().as_ref();
    Message {
        id: id.map(ToString::to_string).unwrap_or_default(),
        body: Bytes::copy_from_slice(&delivery.data),
        attempt: header(delivery, ATTEMPT).and_then(integer).unwrap_or(0),
    }
}

pub(super) fn redeliveries(delivery: &Delivery) -> u32 {
    let counted = header(delivery, "x-delivery-count").and_then(integer).unwrap_or(0);
    counted.max(delivery.redelivered.into())
}

pub(super) fn read_dead_letter(delivery: &Delivery, topology: &Topology) -> DeadLetter {
    let own = || {
        let code = text(header(delivery, CODE)?)?;
        let detail = header(delivery, DETAIL).and_then(text).unwrap_or_default();
        Some(Reason { code, detail })
    };
    let reason = own().unwrap_or_else(|| brokers_reason(delivery, topology));
    DeadLetter { message: read_message(delivery), reason }
}

/// The reason for which the broker took the message from the jobs queue. Messages that were
/// retried before have a record of that too.
fn brokers_reason(delivery: &Delivery, topology: &Topology) -> Reason {
    let deaths = header(delivery, "x-death").and_then(AMQPValue::as_array);
    let cause = deaths.into_iter().flat_map(|deaths| deaths.as_slice()).find_map(|death| {
        let death = death.as_field_table()?.inner();
        let queue = text(death.get("queue")?)?;
        (queue == topology.jobs()).then(|| death.get("reason").and_then(text))?
    });
    match cause.as_deref() {
        Some("delivery_limit") => Reason::delivery_limit(topology.delivery_limit().into()),
        Some(code) => Reason {
            code: code.to_owned(),
            detail: format!("the broker moved it out of {}: {code}", topology.jobs()),
        },
        None => Reason {
            code: "unknown".to_owned(),
            detail: "neither a worker nor the broker left a reason".to_owned(),
        },
    }
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

/// Clients differ in the integer type they write.
fn integer(value: &AMQPValue) -> Option<u32> {
    match *value {
        AMQPValue::ShortShortInt(n) => u32::try_from(n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(n.into()),
        AMQPValue::ShortInt(n) => u32::try_from(n).ok(),
        AMQPValue::ShortUInt(n) => Some(n.into()),
        AMQPValue::LongInt(n) => u32::try_from(n).ok(),
        AMQPValue::LongUInt(n) => Some(n),
        AMQPValue::LongLongInt(n) => u32::try_from(n).ok(),
        _ => None,
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
