//! The subscriptions of a worker: one for each origin of messages.

use futures::future::{join_all, select_all};
use queue::{Consumer, Lease, Origin, Queue};

use crate::WorkerConfig;

/// Leases messages from all origins that the worker serves, each with a limit of its own, so that none
/// waits for another.
pub(crate) struct Leases {
    /// In the order of precedence.
    consumers: Vec<Box<dyn Consumer>>,
}

impl Leases {
    /// Subscribes. `cores` is the width of the compute pool.
    ///
    /// # Errors
    /// If the queue refuses to start leasing.
    pub(crate) async fn subscribe(
        queue: &dyn Queue,
        config: &WorkerConfig,
        cores: usize,
    ) -> Result<Self, queue::Error> {
        let mut consumers = Vec::new();
        for origin in Origin::all() {
            if origin.lane().is_some_and(|lane| !config.lanes.contains(&lane)) {
                continue;
            }
            let in_flight = match origin {
                // They are not jobs.
                Origin::Uploads | Origin::Watches => continue,
                Origin::Jobs(_) => config.in_flight(cores),
                Origin::Long(_) => config.long_in_flight(cores),
                // In addition to the new jobs, so that neither waits for the other.
                Origin::Returned(_) | Origin::Quarantine | Origin::Undelivered => 1,
            };
            consumers.push(queue.consume(origin, in_flight).await?);
        }
        Ok(Self { consumers })
    }

    /// Waits for the next lease; `None` once the subscriptions are stopped. Cancelling the call loses no
    /// lease.
    pub(crate) async fn next(&mut self) -> Option<Box<dyn Lease>> {
        // Polled in this order, so the first that is ready has precedence.
        select_all(self.consumers.iter_mut().map(|consumer| consumer.next())).await.0
    }

    /// Interrupts leasing until the next call of [`Self::next`].
    pub(crate) async fn pause(&mut self) {
        join_all(self.consumers.iter_mut().map(|consumer| consumer.pause())).await;
    }

    /// Stops leasing.
    pub(crate) async fn stop(&mut self) {
        join_all(self.consumers.iter_mut().map(|consumer| consumer.stop())).await;
    }
}
