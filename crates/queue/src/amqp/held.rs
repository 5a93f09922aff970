//! Moves held messages of the queue on RabbitMQ back to their lanes.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use lapin::{
    Channel,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    },
    types::FieldTable,
};
use tokio::time::timeout;

use super::{error::broker_error, publisher::Publisher, topology::Topology, wire};
use crate::{Error, Origin, Wanted};

/// Messages that are moved at a time.
const CONCURRENT_MOVES: usize = 256;
/// How long the broker may take to send a message that it has, unless somebody else holds it.
const QUIET: Duration = Duration::from_secs(2);

/// Moves the messages that are `wanted` to the jobs of their lanes; returns their number. The others are
/// put back when all that were there at the start have been looked at.
pub(super) async fn release(
    channel: Channel,
    publisher: &Arc<Publisher>,
    topology: &Topology,
    wanted: Wanted<'_>,
) -> Result<u64, Error> {
    let releasing = |error| broker_error("releasing held messages", error);
    let held = topology.count_held(&channel).await?;
    if held == 0 {
        return Ok(0);
    }
    // Without a limit, because messages that are not wanted are held until the end.
    let unlimited = BasicQosOptions::default();
    channel.basic_qos(0, unlimited).await.map_err(releasing)?;
    let queue = topology.held();
    let consumed = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut deliveries = consumed.await.map_err(releasing)?;
    let (mut looked_at, mut released, mut kept) = (0, 0, None);
    let mut moves = FuturesUnordered::new();
    while looked_at < held {
        let Ok(Some(delivery)) = timeout(QUIET, deliveries.next()).await else { break };
        let delivery = delivery.map_err(releasing)?;
        looked_at += 1;
        if wanted(&wire::read_message(&delivery, None)) {
            if moves.len() >= CONCURRENT_MOVES {
                moves.try_next().await?;
            }
            moves.push(back_to_lane(delivery, publisher, topology));
            released += 1;
        } else {
            kept = Some(delivery.acker);
        }
    }
    while moves.try_next().await?.is_some() {}
    let cancelled = channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await;
    cancelled.map_err(releasing)?;
    // What the broker has sent since is put back as well.
    while let Some(delivery) = deliveries.next().await {
        kept = Some(delivery.map_err(releasing)?.acker);
    }
    if let Some(kept) = kept {
        let options = BasicNackOptions { multiple: true, requeue: true };
        kept.nack(options).await.map_err(releasing)?;
    }
    Ok(released)
}

async fn back_to_lane(
    delivery: Delivery,
    publisher: &Publisher,
    topology: &Topology,
) -> Result<(), Error> {
    let message = wire::read_message(&delivery, None);
    let properties = wire::properties(&message, None)?;
    let route = topology.to_origin(Origin::Jobs(message.lane));
    publisher.publish(route, properties, &message.body).await?;
    let acknowledged = delivery.acker.ack(BasicAckOptions::default()).await;
    acknowledged.map(drop).map_err(|error| broker_error("releasing held messages", error))
}
