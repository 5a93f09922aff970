//! The state machine of a job: what a leased message calls for, and how its lease moves while the job
//! runs. Pure: knows neither queue nor store. `docs/adr/0016` has the reasons.

use job::{Failed, Running};
use ledger::Outcome;
use queue::{Counts, Origin};

/// What is known about a job whose message was leased.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) origin: Origin,
    /// Whether this copy of the message may have been leased before.
    pub(crate) redelivered: bool,
    pub(crate) counts: Counts,
    /// How the job ended, in this generation or for good.
    pub(crate) outcome: Option<Outcome>,
    /// Record of the job's run, and its version. A run has one unless it is over within a moment, and
    /// from the beginning if the job runs alone.
    pub(crate) running: Option<(Running, String)>,
}

/// What to do with a leased message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Admission {
    /// Run the job.
    Run { alone: bool, attempts: u32 },
    /// The job is done: acknowledge the message.
    Ack,
    /// The job was given up, but its dead letter may be missing.
    Bury(Box<Failed>),
    /// Another worker runs the job: park the message again.
    Park { seen: String },
    /// The job may have killed its worker: run it alone. `crashes` includes this one, if the job ran
    /// alone.
    Quarantine { crashes: u32 },
    /// The job killed too many workers.
    GiveUp { crashes: u32 },
}

/// Returns whether a leased message calls for a look into the ledger before its job is run. One that
/// was never delivered before does not, which is nearly every one.
pub(crate) fn is_suspect(origin: Origin, redelivered: bool, counts: &Counts) -> bool {
    redelivered || origin == Origin::Quarantine || !counts.seen.is_empty() || counts.crashes > 0
}

/// Returns whether a job may have run before its message was leased, and so may have left checkpoints.
pub(crate) fn may_have_run(origin: Origin, redelivered: bool, counts: &Counts) -> bool {
    let Counts { attempts, releases, crashes, generation, seen } = counts;
    let counted = [attempts, releases, crashes, generation].into_iter().any(|count| *count > 0);
    let is_new = matches!(origin, Origin::Jobs(_));
    redelivered || !is_new || counted || !seen.is_empty()
}

/// Returns whether a leased message may be the one whose worker has recorded a failure of the job and has
/// not sent the dead letter. A worker that could not send it hands the message back as released.
pub(crate) fn may_lack_letter(origin: Origin, redelivered: bool, counts: &Counts) -> bool {
    counts.releases > 0 || is_suspect(origin, redelivered, counts) || origin == Origin::Undelivered
}

/// Decides what to do with a leased message. A job is given up after `max_crashes` deaths of workers
/// that ran nothing else.
pub(crate) fn admit(evidence: Evidence, max_crashes: u32) -> Admission {
    let Evidence { origin, redelivered, counts, outcome, running } = evidence;
    match outcome {
        Some(Outcome::Done) => return Admission::Ack,
        Some(Outcome::Failed(failed)) => return Admission::Bury(failed),
        None => {}
    }
    let suspect = |crashes| match crashes {
        _ if crashes >= max_crashes => Admission::GiveUp { crashes },
        crashes => Admission::Quarantine { crashes },
    };
    let run = |attempts| match origin {
        // It was put off, or handed back: it is still to run alone.
        Origin::Jobs(_)
        | Origin::Returned(_)
        | Origin::Long(_)
        | Origin::Undelivered
        | Origin::Uploads
        | Origin::Watches
            if counts.crashes > 0 =>
        {
            suspect(counts.crashes)
        }
        _ => Admission::Run { alone: origin == Origin::Quarantine, attempts },
    };
    let Some((running, version)) = running else {
        return match origin {
            // No run alone is without a record: what died waited for its turn.
            Origin::Quarantine => run(counts.attempts),
            // It may have been run, and died before the run was recorded.
            _ if redelivered => suspect(counts.crashes),
            // Its run was settled.
            _ => run(counts.attempts),
        };
    };
    if let Some(attempts) = running.handed_back {
        return run(attempts);
    }
    let parked = !counts.seen.is_empty();
    if !parked && !redelivered && origin != Origin::Quarantine {
        // Nobody has leased it since its run was settled, whatever the record says.
        return run(counts.attempts);
    }
    if parked && version != counts.seen {
        // The record was refreshed since: the run is alive.
        return Admission::Park { seen: version };
    }
    // A record with another count is of an earlier run: since then, the job has not run.
    let died_alone = running.alone && running.crashes == counts.crashes;
    if origin == Origin::Quarantine && !parked && !(redelivered && died_alone) {
        return run(counts.attempts);
    }
    suspect(counts.crashes.saturating_add(died_alone.into()))
}

/// Where the message of a running job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LeaseState {
    /// Leased by this worker.
    Held,
    /// In the queue of parked messages; the run refreshes its record.
    Parked,
    /// Returned to its lane by the broker: another worker may run the job.
    Lost,
    /// Settled. The run is over.
    Settled,
}

/// What happens to a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The lease is about to be older than the broker allows.
    LeaseTimeOver,
    /// The lease was found to be lost.
    LeaseLost,
    /// The message came back to this worker.
    Adopted,
    /// The run ended.
    Ended(End),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// With a failure that is worth another attempt.
    Retry,
    /// With a failure that ends the job.
    Failed,
    /// Without the job's fault, before it was done.
    Released,
    /// Because its batch was cancelled.
    Cancelled,
}

/// What the worker does about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Park,
    /// Acknowledge the message, if it is held.
    Ack,
    /// Record that the job is given up, and move the message, if it is held, to the dead letters.
    GiveUp,
    /// Move the message to its next attempt.
    Retry,
    /// Move the message back, for another worker.
    Release,
    /// Leave a record for whoever gets the parked message, of the attempts spent.
    HandBack,
}

impl LeaseState {
    /// Returns the next state and what to do. Every pair of state and event has an answer.
    pub(crate) fn on(self, event: Event) -> (Self, Action) {
        use {Action as A, End as E, Event as V};
        match (self, event) {
            (Self::Settled, _) => (Self::Settled, A::Nothing),
            // Two copies of one message may be held: the run settles both.
            (_, V::Adopted) => (Self::Held, A::Nothing),
            (Self::Held, V::LeaseTimeOver) => (Self::Parked, A::Park),
            (Self::Held, V::LeaseLost) => (Self::Lost, A::Nothing),
            (Self::Parked | Self::Lost, V::LeaseTimeOver | V::LeaseLost) => (self, A::Nothing),
            // A success is a success, whoever else holds the job; and whoever else holds a job of a
            // cancelled batch drops it as well.
            (_, V::Ended(E::Done | E::Cancelled)) => (Self::Settled, A::Ack),
            (Self::Held | Self::Parked, V::Ended(E::Failed)) => (Self::Settled, A::GiveUp),
            (Self::Held, V::Ended(E::Retry)) => (Self::Settled, A::Retry),
            (Self::Held, V::Ended(E::Released)) => (Self::Settled, A::Release),
            (Self::Parked, V::Ended(E::Retry | E::Released)) => (Self::Settled, A::HandBack),
            // Whoever has the message now decides.
            (Self::Lost, V::Ended(E::Failed | E::Retry | E::Released)) => {
                (Self::Settled, A::Nothing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use queue::Lane;

    use super::*;

    const JOBS: Origin = Origin::Jobs(Lane::Normal);
    const RETURNED: Origin = Origin::Returned(Lane::Normal);

    const MAX_CRASHES: u32 = 3;

    fn fresh(origin: Origin) -> Evidence {
        let counts = Counts { attempts: 1, ..Counts::default() };
        Evidence { origin, redelivered: false, counts, outcome: None, running: None }
    }

    fn running(alone: bool) -> Option<(Running, String)> {
        let running = Running {
            version: 2,
            source: "s3://b/a".to_owned(),
            worker: "w".to_owned(),
            started_at: String::new(),
            alone,
            crashes: 0,
            beat: 0,
            handed_back: None,
        };
        Some((running, "v1".to_owned()))
    }

    fn admitted(evidence: &Evidence) -> Admission {
        admit(evidence.clone(), MAX_CRASHES)
    }

    #[test]
    fn a_message_that_never_ran_is_run() {
        for (origin, alone) in [(JOBS, false), (RETURNED, false), (Origin::Quarantine, true)] {
            assert_eq!(admitted(&fresh(origin)), Admission::Run { alone, attempts: 1 });
        }
        let waited = Evidence { redelivered: true, ..fresh(Origin::Quarantine) };
        assert_eq!(admitted(&waited), Admission::Run { alone: true, attempts: 1 });
    }

    #[test]
    fn a_message_that_comes_back_without_a_record_is_a_suspect() {
        for origin in [JOBS, RETURNED, Origin::Long(Lane::Bulk)] {
            for seen in ["", "v1"] {
                let mut died = Evidence { redelivered: true, ..fresh(origin) };
                died.counts.seen = seen.to_owned();
                assert_eq!(admitted(&died), Admission::Quarantine { crashes: 0 });
                died.counts.crashes = MAX_CRASHES;
                assert_eq!(admitted(&died), Admission::GiveUp { crashes: MAX_CRASHES });
            }
        }
    }

    #[test]
    fn a_job_that_ended_is_not_run_again() {
        let ended = Evidence {
            redelivered: true,
            outcome: Some(Outcome::Done),
            running: running(true),
            ..fresh(Origin::Quarantine)
        };
        assert_eq!(admitted(&ended), Admission::Ack);
    }

    #[test]
    fn a_death_in_company_counts_for_nobody() {
        for origin in [JOBS, RETURNED] {
            let died = Evidence { redelivered: true, running: running(false), ..fresh(origin) };
            assert_eq!(admitted(&died), Admission::Quarantine { crashes: 0 });
        }
        // In quarantine, the record is of the run that brought the job here, whether or not a worker
        // was lost that waited to run the job alone.
        for redelivered in [false, true] {
            let waited =
                Evidence { redelivered, running: running(false), ..fresh(Origin::Quarantine) };
            assert_eq!(admitted(&waited), Admission::Run { alone: true, attempts: 1 });
        }
    }

    #[test]
    fn deaths_alone_are_counted_once_until_the_job_is_given_up() {
        let mut died =
            Evidence { redelivered: true, running: running(true), ..fresh(Origin::Quarantine) };
        for crashes in 1..=MAX_CRASHES {
            let expected = match crashes {
                MAX_CRASHES => Admission::GiveUp { crashes },
                _ => Admission::Quarantine { crashes },
            };
            assert_eq!(admitted(&died), expected);
            died.counts.crashes = crashes;
            // The old record stays until the job runs again, and counts no more.
            assert_eq!(admitted(&died), Admission::Run { alone: true, attempts: 1 });
            if let Some((running, _)) = &mut died.running {
                running.crashes = crashes;
            }
        }
    }

    #[test]
    fn a_parked_message_is_parked_again_while_its_run_is_alive() {
        let mut parked = Evidence { running: running(false), ..fresh(RETURNED) };
        parked.counts.seen = "v0".to_owned();
        assert_eq!(admitted(&parked), Admission::Park { seen: "v1".to_owned() });
        parked.counts.seen = "v1".to_owned();
        assert_eq!(admitted(&parked), Admission::Quarantine { crashes: 0 });
        parked.running = None;
        assert_eq!(admitted(&parked), Admission::Run { alone: false, attempts: 1 });
    }

    #[test]
    fn a_run_that_was_handed_back_continues_with_its_attempts() {
        let mut parked = Evidence { running: running(true), ..fresh(RETURNED) };
        parked.counts.seen = "v1".to_owned();
        if let Some((running, _)) = &mut parked.running {
            running.handed_back = Some(4);
        }
        assert_eq!(admitted(&parked), Admission::Run { alone: false, attempts: 4 });
    }

    #[test]
    fn a_suspect_that_was_put_off_is_still_to_run_alone() {
        let mut later = fresh(RETURNED);
        for crashes in 1..=MAX_CRASHES {
            later.counts.crashes = crashes;
            let expected = match crashes {
                MAX_CRASHES => Admission::GiveUp { crashes },
                _ => Admission::Quarantine { crashes },
            };
            // The record of the run that was settled may not have been deleted.
            for running in [None, running(true)] {
                later.running = running;
                if let Some((running, _)) = &mut later.running {
                    running.crashes = crashes;
                }
                assert_eq!(admitted(&later), expected);
            }
            assert!(is_suspect(RETURNED, false, &later.counts));
        }
    }

    #[test]
    fn only_fresh_messages_are_run_without_a_look_into_the_ledger() {
        let fresh = Counts::default();
        let parked = Counts { seen: "v".to_owned(), ..Counts::default() };
        assert!(!is_suspect(JOBS, false, &fresh) && !is_suspect(RETURNED, false, &fresh));
        assert!(is_suspect(JOBS, true, &fresh) && is_suspect(Origin::Quarantine, false, &fresh));
        assert!(is_suspect(RETURNED, false, &parked));
    }

    #[test]
    fn only_a_fresh_message_has_never_run() {
        let fresh = Counts::default();
        assert!(!may_have_run(JOBS, false, &fresh));
        assert!(may_have_run(JOBS, true, &fresh));
        let others = [RETURNED, Origin::Long(Lane::Bulk), Origin::Quarantine, Origin::Undelivered];
        for origin in others {
            assert!(may_have_run(origin, false, &fresh));
        }
        for counts in [
            Counts { attempts: 1, ..Counts::default() },
            Counts { releases: 1, ..Counts::default() },
            Counts { crashes: 1, ..Counts::default() },
            Counts { generation: 1, ..Counts::default() },
            Counts { seen: "v".to_owned(), ..Counts::default() },
        ] {
            assert!(may_have_run(JOBS, false, &counts), "{counts:?}");
        }
    }

    /// Every pair of state and event, in one table.
    #[test]
    fn every_event_has_an_answer_in_every_state() {
        use {Action as A, LeaseState as S};
        let events = [
            Event::LeaseTimeOver,
            Event::LeaseLost,
            Event::Adopted,
            Event::Ended(End::Done),
            Event::Ended(End::Retry),
            Event::Ended(End::Failed),
            Event::Ended(End::Released),
            Event::Ended(End::Cancelled),
        ];
        let table = [
            (
                S::Held,
                [
                    (S::Parked, A::Park),
                    (S::Lost, A::Nothing),
                    (S::Held, A::Nothing),
                    (S::Settled, A::Ack),
                    (S::Settled, A::Retry),
                    (S::Settled, A::GiveUp),
                    (S::Settled, A::Release),
                    (S::Settled, A::Ack),
                ],
            ),
            (
                S::Parked,
                [
                    (S::Parked, A::Nothing),
                    (S::Parked, A::Nothing),
                    (S::Held, A::Nothing),
                    (S::Settled, A::Ack),
                    (S::Settled, A::HandBack),
                    (S::Settled, A::GiveUp),
                    (S::Settled, A::HandBack),
                    (S::Settled, A::Ack),
                ],
            ),
            (
                S::Lost,
                [
                    (S::Lost, A::Nothing),
                    (S::Lost, A::Nothing),
                    (S::Held, A::Nothing),
                    (S::Settled, A::Ack),
                    (S::Settled, A::Nothing),
                    (S::Settled, A::Nothing),
                    (S::Settled, A::Nothing),
                    (S::Settled, A::Ack),
                ],
            ),
            (S::Settled, [(S::Settled, A::Nothing); 8]),
        ];
        for (state, answers) in table {
            for (event, answer) in events.into_iter().zip(answers) {
                assert_eq!(state.on(event), answer, "{state:?} {event:?}");
            }
        }
    }
}
