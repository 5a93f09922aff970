//! Converts messages and dead letters to and from AMQP.
//!
//! The id is the `message-id` property. The header `lane` is the message's lane; without it, the lane is
//! that of the queue. `traceparent` is the trace that the job belongs to. The headers `attempt`, `releases`, `crashes`, `generation` and
//! `seen` are the message's [`Counts`]; dead letters that a worker published also have `code` and
//! `detail`, and a redelivered message that nobody has looked at `redelivered`. Of the broker's own headers only `x-death` is read: why the broker moved a message to the
//! dead letters.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::topology::Topology;
use crate::{Announcement, Counts, DeadLetter, DeadLetterReason, Error, ErrorKind, Lane, Message};

/// Delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;
/// Maximum length of one header, in bytes. The headers of a message share one frame, for which
/// RabbitMQ's default limit is 128 KiB.
const MAX_HEADER_LEN: usize = 16 * 1024;

/// Content type of jobs and watches. Nobody checks it.
const JSON: &str = "application/json";

const ATTEMPTS: &str = "attempt";
const RELEASES: &str = "releases";
const CRASHES: &str = "crashes";
const GENERATION: &str = "generation";
const SEEN: &str = "seen";
const LANE: &str = "lane";
/// Its name in W3C Trace Context.
const TRACE: &str = "traceparent";
const REDELIVERED: &str = "redelivered";
const CODE: &str = "code";
const DETAIL: &str = "detail";

/// Returns the properties of a message; of a dead letter, if there is a `reason`.
pub(super) fn properties(
    message: &Message,
    reason: Option<&DeadLetterReason>,
) -> Result<BasicProperties, Error> {
    let Message { id, lane, counts, trace, .. } = message;
    let id = ShortString::try_new(id.as_str())
        .map_err(|error| Error::new(ErrorKind::Other, "message id").with_source(error))?;
    let mut headers = FieldTable::default();
    for (name, count) in [
        (ATTEMPTS, counts.attempts),
        (RELEASES, counts.releases),
        (CRASHES, counts.crashes),
        (GENERATION, counts.generation),
    ] {
        headers.insert(name.into(), AMQPValue::LongLongInt(count.into()));
    }
    let mut set_text = |name: &str, text: &str| {
        headers.insert(name.into(), AMQPValue::LongString(truncated(text).into()));
    };
    set_text(LANE, lane.as_str());
    if !trace.is_empty() {
        set_text(TRACE, trace);
    }
    if !counts.seen.is_empty() {
        set_text(SEEN, &counts.seen);
    }
    if let Some(DeadLetterReason { code, detail }) = reason {
        set_text(CODE, code);
        set_text(DETAIL, detail);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(JSON.into())
        .with_message_id(id)
        .with_timestamp(now.as_secs())
        .with_headers(headers))
}

/// Returns the properties of an announcement.
pub(super) fn announcement(announcement: &Announcement) -> Result<BasicProperties, Error> {
    let short = |text: &str| {
        ShortString::try_new(text)
            .map_err(|error| Error::new(ErrorKind::Other, "announcement").with_source(error))
    };
    short(&announcement.topic)?;
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(short(&announcement.content_type)?))
}

/// Returns the properties of a message that goes back without having been looked at. A copy would
/// not say that the message was redelivered, so a header does.
pub(super) fn unused(message: &Message, redelivered: bool) -> Result<BasicProperties, Error> {
    let properties = properties(message, None)?;
    if !redelivered {
        return Ok(properties);
    }
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(REDELIVERED.into(), AMQPValue::Boolean(true));
    Ok(properties.with_headers(headers))
}

/// Returns whether the message may have been leased before.
pub(super) fn is_redelivered(delivery: &Delivery) -> bool {
    delivery.redelivered || header(delivery, REDELIVERED) == Some(&AMQPValue::Boolean(true))
}

/// Returns when the message was published, as its publisher says.
pub(super) fn since(delivery: &Delivery) -> Option<SystemTime> {
    let seconds = delivery.properties.timestamp().as_ref()?;
    // Any number may have been written.
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(*seconds))
}

fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HEADER_LEN)]
}

/// Reads a message. Any program may have published it, so missing or malformed properties read as
/// empty or zero. `lane` is that of the queue, if it has one: the queue decides, because its consumers
/// and limits are the lane's.
pub(super) fn read_message(delivery: &Delivery, lane: Option<Lane>) -> Message {
    let id = delivery.properties.message_id().as_ref();
    let count = |name| header(delivery, name).and_then(integer).unwrap_or(0);
    Message {
        id: id.map(ToString::to_string).unwrap_or_default(),
        body: Bytes::copy_from_slice(&delivery.data),
        lane: lane.unwrap_or_else(|| {
            let lane = header(delivery, LANE).and_then(text).and_then(|lane| lane.parse().ok());
            lane.unwrap_or_default()
        }),
        counts: Counts {
            attempts: count(ATTEMPTS),
            releases: count(RELEASES),
            crashes: count(CRASHES),
            generation: count(GENERATION),
            seen: header(delivery, SEEN).and_then(text).unwrap_or_default(),
        },
        trace: header(delivery, TRACE).and_then(text).unwrap_or_default(),
    }
}

/// Reads a dead letter with the reason from its worker or else from the broker.
pub(super) fn read_dead_letter(delivery: &Delivery, topology: &Topology) -> DeadLetter {
    let workers_reason = || {
        let code = text(header(delivery, CODE)?)?;
        let detail = header(delivery, DETAIL).and_then(text).unwrap_or_default();
        Some(DeadLetterReason { code, detail })
    };
    let reason = workers_reason().unwrap_or_else(|| brokers_reason(delivery, topology));
    DeadLetter { message: read_message(delivery, None), reason, since: since(delivery) }
}

/// Returns why the broker moved the message out of its queue. Entries of `x-death` for other queues come
/// from earlier retries.
pub(super) fn brokers_reason(delivery: &Delivery, topology: &Topology) -> DeadLetterReason {
    let deaths = header(delivery, "x-death").and_then(AMQPValue::as_array);
    let cause = deaths.into_iter().flat_map(|deaths| deaths.as_slice()).find_map(|death| {
        let death = death.as_field_table()?.inner();
        let queue = text(death.get("queue")?)?;
        let reason = death.get("reason").and_then(text)?;
        topology.is_origin(&queue).then_some((queue, reason))
    });
    match cause {
        Some((_, code)) if code == DeadLetterReason::DELIVERY_LIMIT => {
            DeadLetterReason::delivery_limit(topology.delivery_limit().into())
        }
        Some((queue, code)) => {
            DeadLetterReason { detail: format!("the broker moved it out of {queue}: {code}"), code }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::AmqpConfig;

    #[test]
    fn a_dead_letter_with_any_timestamp_is_read() {
        let topology = Topology::new(&AmqpConfig::default());
        let since = |seconds: u64| {
            let mut delivery = Delivery::mock(1, "".into(), "".into(), false, Vec::new());
            delivery.properties = BasicProperties::default().with_timestamp(seconds);
            read_dead_letter(&delivery, &topology).since
        };
        assert_eq!(since(7), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
        assert_eq!(since(u64::MAX), None, "no time that there is");
    }
}
