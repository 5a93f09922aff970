//! Settles the lease of a job: acknowledges its message, or forwards it, after the records say so.

use std::time::Duration;

use errors::Chain;
use job::{Failed, Failure, FailureCode, FailureKind, Job, RECORDS_VERSION};
use ledger::FailureRecord;
use location::Location;
use queue::{Counts, Destination, Origin};
use store::ErrorKind;

use super::{
    JobRunner,
    keeper::{LeaseKeeper, SettleError, acknowledge, forward},
    policy::{Verdict, dead_letter_reason},
    runner::Stop,
    state::{Action, End, Event, LeaseState},
};
use crate::{
    events::{DoneEvent, JobEventKind},
    failure::{caused, output_failure},
    now,
    registry::Run,
};

/// Delay before a job is tried again that failed without its fault.
pub(crate) const POSTPONED: Duration = Duration::from_secs(10);
/// A store that takes longer does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl JobRunner {
    /// Settles the lease of a run that ended.
    pub(super) async fn settle(
        &self,
        keeper: LeaseKeeper<'_>,
        result: Result<Box<DoneEvent>, Stop>,
    ) {
        let LeaseKeeper { job, run, .. } = keeper;
        let failure = match result {
            Ok(done) => {
                self.breaker.reset(true);
                // Not before: the run may have been recorded while it ended.
                self.requeue(job, run).await;
                return self.end_acknowledged(keeper, End::Done, JobEventKind::Done(done)).await;
            }
            Err(Stop::Cancelled) => {
                self.clear_checkpoints(job, run).await;
                self.requeue(job, run).await;
                let kind = JobEventKind::Cancelled;
                return self.end_acknowledged(keeper, End::Cancelled, kind).await;
            }
            Err(Stop::Long) => {
                let counts = keeper.counts.clone();
                return self.end_moved(keeper, Destination::Long, counts, JobEventKind::Long).await;
            }
            Err(Stop::Paused) => {
                // Whoever gets it later sees that it has run.
                let counts = keeper.counts.clone().released();
                return self.end_moved(keeper, Destination::Held, counts, JobEventKind::Held).await;
            }
            Err(Stop::Failed(failure)) => failure,
        };
        let works = self.store_works(job, &failure).await;
        let verdict = self.policy.judge(&failure, keeper.counts.attempts, works);
        match verdict {
            Verdict::Postpone => self.breaker.trip(&failure),
            Verdict::Release => {}
            Verdict::Retry(_) | Verdict::GiveUp => self.breaker.reset(false),
        }
        let released = keeper.counts.clone().released();
        match verdict {
            Verdict::Retry(delay) => self.end_retry(keeper, failure, delay).await,
            Verdict::GiveUp => self.end_failed(keeper, failure).await,
            Verdict::Release => {
                let back = Destination::Returned;
                self.end_moved(keeper, back, released, JobEventKind::Released).await;
            }
            Verdict::Postpone => {
                let later = Destination::Delayed(POSTPONED);
                let event = JobEventKind::Postponed { failure };
                self.end_moved(keeper, later, released, event).await;
            }
        }
    }

    /// Announces how a job ended, and acknowledges its message. If that cannot be announced, or the store did
    /// not delete all that is obsolete, the message goes back: whoever gets it next sees to that.
    pub(super) async fn conclude_and_acknowledge(
        &self,
        job: &Job,
        run: &Run,
        counts: &Counts,
        kind: JobEventKind,
    ) -> Result<(), SettleError> {
        if !self.conclude(job, run, kind).await {
            return forward(run.end(), &Destination::Returned, counts).await;
        }
        if run.has_leftovers() {
            return forward(run.end(), &Destination::Delayed(POSTPONED), counts).await;
        }
        acknowledge(run.end()).await
    }

    /// Concludes a run whose job is done, or cancelled.
    async fn end_acknowledged(&self, keeper: LeaseKeeper<'_>, end: End, kind: JobEventKind) {
        let LeaseKeeper { job, run, ref counts, state, .. } = keeper;
        let (_, action) = state.on(Event::Ended(end));
        debug_assert_eq!(action, Action::Ack, "{state:?}");
        let settled = self.conclude_and_acknowledge(job, run, counts, kind).await;
        if state == LeaseState::Held {
            self.report(settled);
        }
    }

    async fn end_failed(&self, keeper: LeaseKeeper<'_>, failure: Failure) {
        let LeaseKeeper { job, run, ref counts, state, .. } = keeper;
        let (_, action) = state.on(Event::Ended(End::Failed));
        if action == Action::GiveUp {
            return self.give_up(job, run, counts, &failure).await;
        }
        self.emit(job, run, JobEventKind::Abandoned { failure: Some(failure) });
        self.abandon(&keeper).await;
    }

    async fn end_retry(&self, keeper: LeaseKeeper<'_>, failure: Failure, delay: Duration) {
        let LeaseKeeper { job, run, state, .. } = keeper;
        let attempts = keeper.counts.attempts.saturating_add(1);
        let (_, action) = state.on(Event::Ended(End::Retry));
        let event = match action {
            Action::Retry | Action::HandBack => JobEventKind::Retried { failure, attempts, delay },
            _ => JobEventKind::Abandoned { failure: Some(failure) },
        };
        self.emit(job, run, event);
        match action {
            Action::Retry => {
                self.requeue(job, run).await;
                let counts = keeper.counts.clone().attempted();
                self.report(forward(run.end(), &Destination::Delayed(delay), &counts).await);
            }
            Action::HandBack => self.hand_back(keeper, 1).await,
            _ => self.abandon(&keeper).await,
        }
    }

    /// Moves the message of a run that ended before its job was done, and without the job's fault.
    async fn end_moved(
        &self,
        keeper: LeaseKeeper<'_>,
        destination: Destination,
        counts: Counts,
        event: JobEventKind,
    ) {
        let LeaseKeeper { job, run, state, .. } = keeper;
        let (_, action) = state.on(Event::Ended(End::Released));
        match action {
            Action::Release => {
                self.requeue(job, run).await;
                let alone = keeper.running.alone && destination != Destination::Held;
                let back = if alone { Destination::Quarantine } else { destination };
                self.emit(job, run, event);
                self.report(forward(run.end(), &back, &counts).await);
            }
            Action::HandBack => {
                self.emit(job, run, event);
                self.hand_back(keeper, 0).await;
            }
            _ => {
                self.emit(job, run, JobEventKind::Abandoned { failure: None });
                self.abandon(&keeper).await;
            }
        }
    }

    /// Ends a run whose message somebody else has, who clears the record of the run in the end, unless that
    /// was before this run wrote it.
    async fn abandon(&self, keeper: &LeaseKeeper<'_>) {
        let LeaseKeeper { job, run, ref counts, .. } = *keeper;
        drop(run.end());
        if run.may_be_recorded()
            && let Ok(Some(_)) = self.ledger.outcome(job, counts.generation).await
        {
            self.requeue(job, run).await;
        }
    }

    /// Leaves a record for whoever gets the parked message.
    async fn hand_back(&self, mut keeper: LeaseKeeper<'_>, attempts_spent: u32) {
        let attempts = keeper.counts.attempts.saturating_add(attempts_spent);
        keeper.running.handed_back = Some(attempts);
        if let Err(error) = keeper.record().await {
            // The parked message comes back as if the worker had died.
            let error = Chain(&error).to_string();
            tracing::warn!(error, "cannot hand the job back");
        }
        self.abandon(&keeper).await;
    }

    /// Settles the lease of a suspect whose records cannot be read. A worker that is at fault hands it to
    /// the others.
    pub(super) async fn settle_unread(
        &self,
        job: &Job,
        run: &Run,
        counts: Counts,
        error: &ledger::Error,
    ) {
        let failure = self.whose_fault(job, unrecorded(error, job)).await;
        let works = self.store_works(job, &failure).await;
        match self.policy.judge(&failure, counts.attempts, works) {
            Verdict::GiveUp => return self.give_up(job, run, &counts, &failure).await,
            Verdict::Postpone => self.breaker.trip(&failure),
            Verdict::Retry(_) | Verdict::Release => {}
        }
        self.give_back(job, run, counts).await;
    }

    /// Gives a job up: records its failure and moves its message, if it is held, to the dead letters.
    pub(super) async fn give_up(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        let attempts = counts.attempts.saturating_add(1);
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
        let (mut is_recorded, mut first) = (false, false);
        match self.ledger.fail(job, failed).await {
            Ok(FailureRecord::Failed { first: is_first }) => {
                (is_recorded, first) = (true, is_first);
                self.clear_checkpoints(job, run).await;
            }
            Ok(FailureRecord::Done) => {
                self.clear_checkpoints(job, run).await;
                let done = JobEventKind::DoneBefore;
                return self.report(self.conclude_and_acknowledge(job, run, counts, done).await);
            }
            Err(error) => {
                let text = Chain(&error).to_string();
                tracing::warn!(error = text, "cannot write the record of the failure");
                let unrecorded = unrecorded(&error, job);
                match self.policy.judge(&unrecorded, counts.attempts, false) {
                    Verdict::Retry(delay) => {
                        self.requeue(job, run).await;
                        // Released as well: the record may have been written all the same.
                        let counts = counts.clone().attempted().released();
                        let (failure, attempts) = (unrecorded, counts.attempts);
                        self.emit(job, run, JobEventKind::Retried { failure, attempts, delay });
                        let later = Destination::Delayed(delay);
                        return self.report(forward(run.end(), &later, &counts).await);
                    }
                    Verdict::Postpone | Verdict::Release => {
                        self.breaker.trip(&unrecorded);
                        self.emit(job, run, JobEventKind::Postponed { failure: unrecorded });
                        let later = Destination::Delayed(POSTPONED);
                        let counts = counts.clone().released();
                        return self.report(forward(run.end(), &later, &counts).await);
                    }
                    // Without a record.
                    Verdict::GiveUp => {}
                }
            }
        }
        // The message that brought the first failure has the only dead letter.
        if is_recorded
            && !first
            && let Some(superfluous) = run.end_superfluous()
        {
            tracing::info!("the job was given up before: this copy of its message is superfluous");
            return self.report(acknowledge(superfluous).await);
        }
        let Failed { failure, attempts, .. } = failed;
        let (failure, attempts) = (failure.clone(), *attempts);
        if !self.conclude(job, run, JobEventKind::Failed { failure, attempts, first }).await {
            // Whoever gets it next finds the failure recorded.
            let counts = counts.clone().released();
            let back = forward(run.end(), &Destination::Returned, &counts).await;
            return self.report(back);
        }
        let dead = Destination::Dead(dead_letter_reason(&failed.failure, failed.attempts));
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Returns whether the store that a failure names works now: one that did not answer answers, and
    /// one that refused this process serves it elsewhere.
    async fn store_works(&self, job: &Job, failure: &Failure) -> bool {
        let uri = match failure.code {
            // It is one host of many. If it is down, that is no reason to lease no other jobs, nor to wait
            // for it without end.
            FailureCode::SourceUnavailable
                if matches!(job.source.location(), Ok(Location::Http(_))) =>
            {
                return true;
            }
            FailureCode::SourceUnavailable => job.source.reveal(),
            FailureCode::OutputUnavailable => &job.output,
            FailureCode::StoreMisconfigured => {
                // The job's records are in the output's store, which this process reaches with the same
                // account as that of the source if both are of one service.
                let (Ok(source), Ok(output)) =
                    (job.source.location(), job.output.parse::<Location>())
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

    /// Clears the record of the run, if there may be one. Before its message moves: afterwards, the record
    /// may be that of the job's next run.
    pub(super) async fn requeue(&self, job: &Job, run: &Run) {
        if run.may_be_recorded()
            && let Err(error) = self.ledger.requeue(job).await
        {
            run.note_leftover(&error, "cannot delete the record of the run");
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

    /// Gives up a job that names a location that is not allowed. Where its output is not, nothing is
    /// recorded.
    pub(super) async fn refuse(&self, job: &Job, run: &Run, counts: &Counts, failure: &Failure) {
        if failure.code == FailureCode::SourceNotAllowed {
            return self.give_up(job, run, counts, failure).await;
        }
        let attempts = counts.attempts.saturating_add(1);
        let dead = Destination::Dead(dead_letter_reason(failure, attempts));
        let failure = failure.clone();
        self.conclude(job, run, JobEventKind::Failed { failure, attempts, first: false }).await;
        self.report(forward(run.end(), &dead, counts).await);
    }

    /// Releases a job that has not run to quarantine, where the suspicion is not forgotten.
    pub(super) async fn give_back(&self, job: &Job, run: &Run, counts: Counts) {
        self.emit(job, run, JobEventKind::Released);
        self.report(forward(run.end(), &Destination::Quarantine, &counts.released()).await);
    }

    /// Releases the jobs of all runs, which do not end: something stalls them.
    pub(crate) async fn release_all(&self) {
        let released = self.registry.end_all().into_iter().map(async |leases| {
            let Some(lease) = leases.last() else { return };
            let back = match lease.origin() {
                Origin::Quarantine => Destination::Quarantine,
                Origin::Long(_) => Destination::Long,
                Origin::Jobs(_)
                | Origin::Returned(_)
                | Origin::Undelivered
                | Origin::Uploads
                | Origin::Watches => Destination::Returned,
            };
            let counts = lease.message().counts.clone().released();
            self.count(&JobEventKind::Released);
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
