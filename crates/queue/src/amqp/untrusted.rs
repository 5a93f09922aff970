//! What is read of a message that anybody may have published, for the fuzzers.

use lapin::{
    message::Delivery,
    protocol::basic::{gen_properties, parse_properties},
};

use super::{AmqpConfig, topology::Topology, wire};
use crate::{DeadLetter, Message};

/// Reads a message with these properties, as AMQP encodes them, as a job and as a dead letter. Returns
/// also whether it was redelivered. `None` if they are no properties.
pub fn read_properties(encoded: &[u8], body: &[u8]) -> Option<(Message, DeadLetter, bool)> {
    let (_, properties) = parse_properties(encoded).ok()?;
    let mut delivery = Delivery::mock(1, "".into(), "".into(), false, body.to_vec());
    delivery.properties = properties;
    let topology = Topology::new(&AmqpConfig::default());
    let letter = wire::read_dead_letter(&delivery, &topology);
    Some((wire::read_message(&delivery, None), letter, wire::is_redelivered(&delivery)))
}

/// Returns the encoded properties of a message, as it is published.
pub fn write_properties(message: &Message) -> Option<Vec<u8>> {
    let properties = wire::properties(message, None).ok()?;
    let written = gen_properties(&properties)(Vec::new().into()).ok()?;
    Some(written.write)
}
