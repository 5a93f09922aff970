//! Deadlines of operations on the broker.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// The moment at which a caller gives up, or [`Deadline::NEVER`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) const NEVER: Self = Self(None);

    /// Returns the deadline `timeout` from now; `None` means never.
    pub(super) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    pub(super) fn is_before(self, instant: Instant) -> bool {
        self.0.is_some_and(|deadline| deadline < instant)
    }

    /// Runs `future` until the deadline; returns `None` once the deadline has passed.
    pub(super) async fn bound<F: Future>(self, future: F) -> Option<F::Output> {
        match self.0 {
            Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
            None => Some(future.await),
        }
    }
}
