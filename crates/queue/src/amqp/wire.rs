//! Converts messages and dead letters to and from AMQP.
//!
//! The id is the `message-id` property. The header `attempt` counts transient failures; dead letters
//! that a worker published also have the headers `code` and `detail`. The broker adds
//! `x-delivery-count` (how often a message came back to a quorum queue) and `x-death` (why the broker
//! moved it).

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::topology::Topology;
use crate::{DeadLetter, DeadLetterReason, Error, ErrorKind, Message};

/// Delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;
/// Maximum length of one header, in bytes. The headers of a message share one frame, for which
/// RabbitMQ's default limit is 128 KiB.
const MAX_HEADER_LEN: usize = 16 * 1024;

const ATTEMPT: &str = "attempt";
const CODE: &str = "code";
const DETAIL: &str = "detail";

/// Returns the properties of a new job.
pub(super) fn job(message: &Message) -> Result<BasicProperties, Error> {
    properties(message, message.attempt, None)
}

/// Returns the properties of a job's next attempt.
pub(super) fn retried_job(message: &Message) -> Result<BasicProperties, Error> {
    properties(message, message.attempt.saturating_add(1), None)
}

/// Returns the properties of a job that is given up.
pub(super) fn dead_letter(
    message: &Message,
    reason: &DeadLetterReason,
) -> Result<BasicProperties, Error> {
    properties(message, message.attempt, Some(reason))
}

fn properties(
    message: &Message,
    attempt: u32,
    reason: Option<&DeadLetterReason>,
) -> Result<BasicProperties, Error> {
    let id = ShortString::try_new(message.id.as_str())
        .map_err(|error| Error::new(ErrorKind::Other, "message id").with_source(error))?;
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    if let Some(DeadLetterReason { code, detail }) = reason {
        headers.insert(CODE.into(), AMQPValue::LongString(truncated(code).into()));
        headers.insert(DETAIL.into(), AMQPValue::LongString(truncated(detail).into()));
    }
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id)
        .with_headers(headers))
}

fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HEADER_LEN)]
}

/// Reads a message. Any program may have published it, so missing or malformed properties read as
/// empty or zero.
pub(super) fn read_message(delivery: &Delivery) -> Message {
    let id = delivery.properties.message_id().as_ref();
    Message {
        id: id.map(ToString::to_string).unwrap_or_default(),
        body: Bytes::copy_from_slice(&delivery.data),
        attempt: header(delivery, ATTEMPT).and_then(integer).unwrap_or(0),
    }
}

/// Returns how often the broker has delivered the message before.
pub(super) fn redeliveries(delivery: &Delivery) -> u32 {
    let counted = header(delivery, "x-delivery-count").and_then(integer).unwrap_or(0);
    counted.max(delivery.redelivered.into())
}

/// Reads a dead letter with the reason from its worker or else from the broker.
pub(super) fn read_dead_letter(delivery: &Delivery, topology: &Topology) -> DeadLetter {
    let workers_reason = || {
        let code = text(header(delivery, CODE)?)?;
        let detail = header(delivery, DETAIL).and_then(text).unwrap_or_default();
        Some(DeadLetterReason { code, detail })
    };
    let reason = workers_reason().unwrap_or_else(|| brokers_reason(delivery, topology));
    DeadLetter { message: read_message(delivery), reason }
}

/// Returns why the broker moved the message out of the jobs queue. Entries of `x-death` for other
/// queues come from earlier retries.
fn brokers_reason(delivery: &Delivery, topology: &Topology) -> DeadLetterReason {
    let deaths = header(delivery, "x-death").and_then(AMQPValue::as_array);
    let cause = deaths.into_iter().flat_map(|deaths| deaths.as_slice()).find_map(|death| {
        let death = death.as_field_table()?.inner();
        let queue = text(death.get("queue")?)?;
        (queue == topology.jobs()).then(|| death.get("reason").and_then(text))?
    });
    match cause.as_deref() {
        Some("delivery_limit") => {
            DeadLetterReason::delivery_limit(topology.delivery_limit().into())
        }
        Some(code) => DeadLetterReason {
            code: code.to_owned(),
            detail: format!("the broker moved it out of {}: {code}", topology.jobs()),
        },
        None => DeadLetterReason {
            code: "unknown".to_owned(),
            detail: "neither a worker nor the broker gave a reason".to_owned(),
        },
    }
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

/// Reads an integer of any AMQP type, because clients differ in the type they write.
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
