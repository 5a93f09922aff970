//! Settles the lease of a job: acknowledges its message, or forwards it, after the records say so.

use std::{sync::PoisonError, time::Duration};

use errors::Chain;
use job::{Failed, Failure, FailureCode, FailureKind, Job, RECORDS_VERSION};
use location::Location;
use queue::{Counts, Destination, Lane};
use store::ErrorKind;

use super::{
    JobRunner,
    keeper::{LeaseKeeper, SettleError, acknowledge, forward},
    policy::{Verdict, dead_letter_reason},
    state::{Action, End, Event, LeaseState},
};
use crate::{
    Summary,
    failure::{caused, output_failure},
    now,
    registry::Run,
};

/// Delay before a job is tried again that failed without its fault.
const POSTPONED: Duration = Duration::from_secs(10);
/// A store that takes longer does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl JobRunner {
    /// Settles the lease of a run that ended.
    pub(super) async fn settle(&self, keeper: LeaseKeeper<'_>, result: Result<(), Failure>) {
        let LeaseKeeper { job, run, counts, mut running, state, .. } = keeper;
        let verdict = match &result {
            Ok(()) => None,
            Err(failure) => {
                let works = self.store_works(job, failure).await;
                Some(self.policy.judge(failure, counts.attempts, works))
            }
        };
        match (&result, verdict) {
            (Err(failure), Some(Verdict::Postpone)) => self.breaker.trip(failure),
            (_, Some(Verdict::Release)) => {}
            (result, _) => self.breaker.reset(result.is_ok()),
        }
        let end = match verdict {
            None => End::Done,
            Some(Verdict::Retry(_)) => End::Retry,
            Some(Verdict::GiveUp) => End::Failed,
            Some(Verdict::Release | Verdict::Postpone) => End::Released,
        };
        let (_, action) = state.on(Event::Ended(end));
        if let Err(failure) = &result {
            match (end, action) {
                (End::Released, _) if verdict == Some(Verdict::Postpone) => {
                    tracing::warn!(%failure, "not the job's fault: postponed");
                }
                (End::Released, _) => tracing::info!("interrupted: back to the queue"),
                (_, Action::GiveUp) => {} // `give_up` logs it.
                (_, Action::Nothing) => {
                    tracing::warn!(%failure, "failed without a lease: its next holder decides");
                }
                _ => tracing::warn!(%failure, ?verdict, "failed, to be retried"),
            }
        }
        match (action, verdict, &result) {
            (Action::Ack, ..) => {
                self.count(|summary| summary.done += 1);
                let acknowledged = acknowledge(run.end()).await;
                if state == LeaseState::Held {
                    self.report(acknowledged);
                }
            }
            (Action::GiveUp, _, Err(failure)) => {
                self.give_up(job, run, &counts, failure).await;
            }
            (Action::Retry, Some(Verdict::Retry(delay)), _) => {
                self.retry(job, run, &counts, delay).await;
            }
            (Action::Release, ..) => {
                self.requeue(job).await;
                self.count(|summary| summary.released += 1);
                let back = match verdict {
                    _ if running.alone => Destination::Quarantine,
                    Some(Verdict::Postpone) => Destination::Delayed(POSTPONED),
                    _ => Destination::Returned,
                };
                self.report(forward(run.end(), &back, &counts.released()).await);
            }
            (Action::HandBack, ..) => {
                let spent = u32::from(end == End::Retry);
                running.handed_back = Some(counts.attempts.saturating_add(spent));
                self.count(|summary| summary.released += 1);
                if let Err(error) = self.ledger.start(job, &running).await {
                    // The parked message comes back as if the worker had died.
                    let error = Chain(&error).to_string();
                    tracing::warn!(error, "cannot hand the job back");
                }
            }
            _ => drop(run.end()),
        }
    }

    /// Gives a job up: records its failure and moves its message, if it is held, to the dead letters.
    pub(super) async fn give_up(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        let attempts = counts.attempts.saturating_add(1);
        tracing::error!(%failure, attempts, "failed");
        let failed = Failed {
            version: RECORDS_VERSION,
            job: job.id.clone(),
            batch: job.batch.clone(),
            generation: counts.generation,
            failure: failure.clone(),
            remedy: failure.code.remedy().to_owned(),
            attempts,
            worker: self.worker.clone(),
            failed_at: now(),
        };
        self.bury(job, run, counts, &failed).await;
    }

    /// Writes the record of a failure, which may be written in part, and moves the message to the dead
    /// letters.
    pub(super) async fn bury(&self, job: &Job, run: &Run, counts: &Counts, failed: &Failed) {
        match self.ledger.fail(job, failed).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!("the job is done: another worker has completed it");
                self.count(|summary| summary.done += 1);
                return self.report(acknowledge(run.end()).await);
            }
            Err(error) => {
                let text = Chain(&error).to_string();
                tracing::warn!(error = text, "cannot write the record of the failure");
                let unrecorded = unrecorded(&error, job);
                match self.policy.judge(&unrecorded, counts.attempts, false) {
                    Verdict::Retry(delay) => return self.retry(job, run, counts, delay).await,
                    Verdict::Postpone | Verdict::Release => {
                        self.breaker.trip(&unrecorded);
                        self.count(|summary| summary.released += 1);
                        let later = Destination::Delayed(POSTPONED);
                        return self.report(forward(run.end(), &later, counts).await);
                    }
                    // Without a record.
                    Verdict::GiveUp => {}
                }
            }
        }
        self.count(|summary| summary.failed += 1);
        let dead = Destination::Dead(dead_letter_reason(&failed.failure, failed.attempts));
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Returns whether the store that a failure names works now: one that did not answer answers, and
    /// one that refused this process serves it elsewhere.
    async fn store_works(&self, job: &Job, failure: &Failure) -> bool {
        let uri = match failure.code {
            FailureCode::SourceUnavailable => &job.source,
            FailureCode::OutputUnavailable => &job.output,
            FailureCode::StoreMisconfigured => {
                // The job's records are in the output's store, which this process reaches with the same
                // account as that of the source if both are of one service.
                let (Ok(source), Ok(output)) =
                    (job.source.parse::<Location>(), job.output.parse::<Location>())
                else {
                    return false;
                };
                if !source.same_service(&output) {
                    return false;
                }
                let look = tokio::time::timeout(ANSWER_TIMEOUT, self.ledger.running(job)).await;
                return matches!(look, Ok(Ok(_)));
            }
            _ => return failure.code.kind() != FailureKind::Worker,
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.head(uri)).await;
        !matches!(answer, Err(_) | Ok(Err(store::Error { kind: ErrorKind::Unavailable, .. })))
    }

    /// Schedules the next attempt.
    async fn retry(&self, job: &Job, run: &Run, counts: &Counts, delay: Duration) {
        self.requeue(job).await;
        self.count(|summary| summary.retried += 1);
        let counts = counts.clone().attempted();
        self.report(forward(run.end(), &Destination::Delayed(delay), &counts).await);
    }

    /// Clears the record of the run. Before its message moves: afterwards, the record may be that of
    /// the job's next run.
    async fn requeue(&self, job: &Job) {
        if let Err(error) = self.ledger.requeue(job).await {
            let error = Chain(&error).to_string();
            tracing::warn!(error, "cannot delete the record of the run");
        }
    }

    /// Logs a lease that could not be settled. The broker delivers the job again, and whoever gets it
    /// finds what became of it in the ledger.
    pub(super) fn report(&self, settled: Result<(), SettleError>) {
        if let Err(error) = settled {
            let error = Chain(&error).to_string();
            tracing::warn!(error, "the lease was lost before it was settled");
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.summary.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Gives up a job that names a location that is not allowed. Where its output is not, nothing is
    /// recorded.
    pub(super) async fn refuse(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        if failure.code == FailureCode::SourceNotAllowed {
            return self.give_up(job, run, counts, failure).await;
        }
        tracing::error!(%failure, "refused");
        self.count(|summary| summary.failed += 1);
        let attempts = counts.attempts.saturating_add(1);
        let dead = Destination::Dead(dead_letter_reason(failure, attempts));
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Releases a job that has not run to quarantine, where the suspicion is not forgotten.
    pub(super) async fn give_back(&self, run: &Run, counts: Counts) {
        self.count(|summary| summary.released += 1);
        self.report(forward(run.end(), &Destination::Quarantine, &counts.released()).await);
    }

    /// Releases the jobs of all runs, which do not end: something stalls them.
    pub(crate) async fn release_all(&self) {
        let released = self.registry.end_all().into_iter().map(async |leases| {
            let Some(lease) = leases.last() else { return };
            let back = match lease.lane() {
                Origin::Quarantine => Destination::Quarantine,
                Origin::Jobs(Lane::Normal) | Origin::Returned(Lane::Normal) | Origin::Undelivered => Destination::Returned,
            };
            let counts = lease.message().counts.clone().released();
            self.count(|summary| summary.released += 1);
            self.report(forward(leases, &back, &counts).await);
        });
        futures::future::join_all(released).await;
    }
}

/// Returns the failure for a record that could not be written.
pub(super) fn unrecorded(error: &ledger::Error, job: &Job) -> Failure {
    match error {
        ledger::Error::Store(error) => output_failure(error, &job.source),
        error => caused(FailureCode::Internal, &job.source, error),
    }
}
