//! Decides what becomes of a job that failed. Pure: knows neither queue nor store.

use std::time::Duration;

use job::{Failure, FailureKind};
use queue::DeadLetterReason;

use crate::WorkerConfig;

/// What becomes of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another attempt after a delay.
    Retry(Duration),
    GiveUp,
    /// Another attempt at once; this one does not count.
    Release,
    /// Another attempt when the worker or the store may have recovered; this one does not count.
    Postpone,
}

/// When failed jobs are retried, and when they are given up.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Delay before each retry, by attempt.
    delays: Vec<Duration>,
    /// Number of workers that may die while they run a job alone.
    pub(crate) max_crashes: u32,
}

impl RetryPolicy {
    pub(crate) fn new(config: &WorkerConfig) -> Self {
        let delays = config.retry_delays.iter().copied().map(Duration::from_secs).collect();
        Self { delays, max_crashes: config.max_crashes }
    }

    /// Decides on a job that failed, after `attempts` earlier attempts. `store_works` says whether the
    /// store that the failure names works for this worker now, as a look at another object showed.
    pub(crate) fn judge(&self, failure: &Failure, attempts: u32, store_works: bool) -> Verdict {
        match failure.code.kind() {
            // It fails for this job only, which must not wait for ever.
            FailureKind::Dependency | FailureKind::Worker if store_works => {
                self.retry_or_give_up(attempts)
            }
            FailureKind::Dependency | FailureKind::Worker => Verdict::Postpone,
            FailureKind::Interrupted => Verdict::Release,
            FailureKind::Transient => self.retry_or_give_up(attempts),
            FailureKind::Permanent => Verdict::GiveUp,
        }
    }

    fn retry_or_give_up(&self, attempts: u32) -> Verdict {
        let delay = usize::try_from(attempts).ok().and_then(|attempt| self.delays.get(attempt));
        delay.copied().map_or(Verdict::GiveUp, Verdict::Retry)
    }
}

/// Returns the reason for the dead letter of a job that failed after `attempts` attempts in all.
pub(crate) fn dead_letter_reason(failure: &Failure, attempts: u32) -> DeadLetterReason {
    let detail = match failure.code.kind() {
        FailureKind::Permanent | FailureKind::Interrupted => failure.to_string(),
        FailureKind::Transient | FailureKind::Dependency | FailureKind::Worker => {
            format!("{failure} (after {attempts} attempts)")
        }
    };
    DeadLetterReason { code: failure.code.as_str().to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use job::FailureCode;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy::new(&WorkerConfig { retry_delays: vec![10, 60], ..WorkerConfig::default() })
    }

    fn failure(code: FailureCode) -> Failure {
        Failure { code, source: "s3://b/a.wav".to_owned(), message: "on purpose".to_owned() }
    }

    const TEN_SECONDS: Verdict = Verdict::Retry(Duration::from_secs(10));
    const A_MINUTE: Verdict = Verdict::Retry(Duration::from_secs(60));

    #[test]
    fn transient_failures_are_retried_until_the_delays_are_used_up() {
        let transient = failure(FailureCode::SourceChanged);
        let verdicts =
            [0, 1, 2, u32::MAX].map(|attempts| policy().judge(&transient, attempts, true));
        assert_eq!(verdicts, [TEN_SECONDS, A_MINUTE, Verdict::GiveUp, Verdict::GiveUp]);
        let reason = dead_letter_reason(&transient, 3);
        assert_eq!(reason.code, "source_changed");
        assert_eq!(reason.detail, "source_changed: on purpose (after 3 attempts)");
    }

    #[test]
    fn permanent_failures_are_given_up_at_once() {
        let permanent = failure(FailureCode::AudioEmpty);
        assert_eq!(policy().judge(&permanent, 0, true), Verdict::GiveUp);
        assert_eq!(dead_letter_reason(&permanent, 1).detail, "audio_empty: on purpose");
    }

    #[test]
    fn faults_of_others_cost_no_attempt() {
        for code in [
            FailureCode::SourceUnavailable,
            FailureCode::OutputUnavailable,
            FailureCode::StoreMisconfigured,
            FailureCode::OutputFull,
        ] {
            let verdict = |attempts, works| policy().judge(&failure(code), attempts, works);
            assert_eq!(
                (verdict(0, false), verdict(99, false)),
                (Verdict::Postpone, Verdict::Postpone)
            );
            // Only this job fails.
            assert_eq!((verdict(0, true), verdict(2, true)), (TEN_SECONDS, Verdict::GiveUp));
        }
    }

    #[test]
    fn interrupted_jobs_are_released_on_every_attempt() {
        for attempts in [0, 2, 9] {
            let verdict = policy().judge(&failure(FailureCode::Interrupted), attempts, true);
            assert_eq!(verdict, Verdict::Release);
        }
    }
}
