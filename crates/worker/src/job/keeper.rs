//! Keeps the lease of a running job: records the run if it takes longer than a moment, parks its message
//! before the broker takes it back, refreshes the record, and notices when the lease is lost.

use std::time::Duration;

use job::{Job, Running};
use ledger::Ledger;
use queue::{Counts, Destination, Lease};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::state::{Action, Event, LeaseState};
use crate::registry::Run;

/// Longest time between two looks at a lease.
const MAX_TICK: Duration = Duration::from_secs(5);

/// How long a run goes on without a record. Most are over by then, and save two requests. If the worker dies
/// before, the missing record makes the redelivered message a suspect.
const UNRECORDED: Duration = Duration::from_secs(1);

pub(crate) struct LeaseKeeper<'a> {
    pub(crate) job: &'a Job,
    pub(crate) run: &'a Run,
    pub(crate) ledger: &'a Ledger,
    pub(crate) counts: Counts,
    /// The record of this run, and its version; empty until it is written.
    pub(crate) running: Running,
    pub(crate) version: String,
    pub(crate) lease_time: Duration,
    pub(crate) state: LeaseState,
}

impl LeaseKeeper<'_> {
    /// Writes the record of the run.
    ///
    /// # Errors
    /// The error of the store. The record may be written.
    pub(crate) async fn record(&mut self) -> Result<(), ledger::Error> {
        self.run.note_record();
        self.version = self.ledger.start(self.job, &self.running).await?;
        Ok(())
    }

    /// Keeps the lease until the run is `over`.
    ///
    /// # Errors
    /// The run cannot be recorded: its message cannot be parked, and whoever gets it next takes the run
    /// for dead.
    pub(crate) async fn keep(&mut self, over: &CancellationToken) -> Result<(), ledger::Error> {
        // The record must change while a message is parked, also if one refresh fails.
        let beat = self.lease_time / 4;
        let mut ticks = interval(beat.min(MAX_TICK).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut leased_at, mut refreshed_at) = (Instant::now(), Instant::now());
        let record_at = leased_at + beat.min(UNRECORDED);
        loop {
            let event = tokio::select! {
                biased;
                () = over.cancelled() => return Ok(()),
                () = sleep_until(record_at), if self.version.is_empty() && self.state == LeaseState::Held => {
                    self.record().await?;
                    None
                }
                () = self.run.adopted() => Some(Event::Adopted),
                _ = ticks.tick() => match self.state {
                    LeaseState::Held if self.run.is_lost() => Some(Event::LeaseLost),
                    LeaseState::Held if leased_at.elapsed() >= self.lease_time => {
                        Some(Event::LeaseTimeOver)
                    }
                    _ => None,
                },
            };
            match event {
                Some(event) => {
                    let (state, action) = self.state.on(event);
                    self.state = state;
                    match event {
                        Event::Adopted => leased_at = Instant::now(),
                        Event::LeaseLost => tracing::warn!(
                            "the lease is lost; the run goes on, and its transcript counts if it is \
                             the first"
                        ),
                        _ => {}
                    }
                    if action == Action::Park {
                        self.park().await;
                    }
                }
                None if self.state == LeaseState::Parked && refreshed_at.elapsed() >= beat => {
                    self.refresh().await;
                    refreshed_at = Instant::now();
                }
                None => {}
            }
        }
    }

    async fn park(&mut self) {
        let counts = Counts { seen: self.version.clone(), ..self.counts.clone() };
        match forward(self.run.take(), &Destination::Parked, &counts).await {
            Ok(()) => tracing::debug!("the job runs for long: its message is parked"),
            Err(error) => {
                let error = errors::Chain(&error).to_string();
                tracing::warn!(error, "cannot park the message; the lease is lost");
                self.state = LeaseState::Lost;
            }
        }
    }

    /// Shows whoever gets the parked message that the run is alive.
    async fn refresh(&mut self) {
        self.running.beat += 1;
        match self.ledger.start(self.job, &self.running).await {
            Ok(version) => self.version = version,
            Err(error) => {
                let error = errors::Chain(&error).to_string();
                tracing::warn!(error, "cannot refresh the record of the run");
            }
        }
    }
}

/// Why no lease of a job could be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    #[error("no lease is held")]
    NoLease,
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

/// Moves the message of the leases, which are copies of one, and acknowledges the others.
///
/// # Errors
/// The reason why no lease could be settled: there is none, or all are lost.
pub(crate) async fn forward(
    leases: Vec<Box<dyn Lease>>,
    destination: &Destination,
    counts: &Counts,
) -> Result<(), SettleError> {
    let mut moved = Err(SettleError::NoLease);
    // The latest lease is the likeliest to be valid.
    for lease in leases.into_iter().rev() {
        let settled = if moved.is_ok() {
            lease.ack().await
        } else {
            lease.forward(destination.clone(), counts.clone()).await
        };
        match settled {
            Ok(()) => moved = Ok(()),
            Err(error) if moved.is_err() => moved = Err(error.into()),
            Err(_) => {}
        }
    }
    moved
}

/// Acknowledges all leases.
///
/// # Errors
/// The reason why no lease could be acknowledged.
pub(crate) async fn acknowledge(leases: Vec<Box<dyn Lease>>) -> Result<(), SettleError> {
    let mut acknowledged = Err(SettleError::NoLease);
    for lease in leases {
        match lease.ack().await {
            Ok(()) => acknowledged = Ok(()),
            Err(error) if acknowledged.is_err() => acknowledged = Err(error.into()),
            Err(_) => {}
        }
    }
    acknowledged
}
