//! Decides how a lease ends. Pure: knows neither queue nor store.

use std::time::Duration;

use job::{Failure, FailureCode, FailureKind};
use queue::DeadLetterReason;

use crate::WorkerConfig;

/// How a lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settlement {
    Ack,
    Retry(Duration),
    DeadLetter(DeadLetterReason),
    Release,
}

impl Settlement {
    /// Gives the job up.
    pub(crate) fn dead_letter(code: FailureCode, detail: String) -> Self {
        Self::DeadLetter(DeadLetterReason { code: code.as_str().to_owned(), detail })
    }
}

/// When failed jobs are retried, and when they are given up.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Delay before each retry, by attempt.
    delays: Vec<Duration>,
    max_redeliveries: u32,
}

impl RetryPolicy {
    pub(crate) fn new(config: &WorkerConfig) -> Self {
        let delays = config.retry_delays.iter().copied().map(Duration::from_secs).collect();
        Self { delays, max_redeliveries: config.max_redeliveries }
    }

    /// Returns the message of the failure if the job was redelivered too often: it may be what
    /// killed its workers.
    pub(crate) fn worker_lost(&self, redeliveries: u32) -> Option<String> {
        (redeliveries > self.max_redeliveries)
            .then(|| format!("{redeliveries} workers were lost while they held this job"))
    }

    /// Settles a job that failed. `attempt` counts from 0.
    pub(crate) fn settle(&self, failure: &Failure, attempt: u32) -> Settlement {
        let kind = failure.code.kind();
        match (kind, self.delay(attempt)) {
            (FailureKind::Interrupted, _) => Settlement::Release,
            (FailureKind::Transient, Some(delay)) => Settlement::Retry(delay),
            (FailureKind::Transient, None) => {
                let detail = format!("{failure} (after {} attempts)", attempt + 1);
                Settlement::dead_letter(failure.code, detail)
            }
            (FailureKind::Permanent, _) => {
                Settlement::dead_letter(failure.code, failure.to_string())
            }
        }
    }

    /// Settles a job whose failure record could not be written. A transient error of the store is
    /// worth waiting for, as long as retries remain; then the job ends as `settlement` says.
    pub(crate) fn settle_without_record(
        &self,
        settlement: Settlement,
        error_is_transient: bool,
        attempt: u32,
    ) -> Settlement {
        match self.delay(attempt) {
            Some(delay) if error_is_transient => Settlement::Retry(delay),
            _ => settlement,
        }
    }

    /// Returns the delay before the retry that follows `attempt`; `None` after the last attempt.
    fn delay(&self, attempt: u32) -> Option<Duration> {
        self.delays.get(usize::try_from(attempt).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy::new(&WorkerConfig {
            retry_delays: vec![10, 60],
            max_redeliveries: 2,
            ..WorkerConfig::default()
        })
    }

    fn failure(code: FailureCode) -> Failure {
        Failure { code, source: "s3://b/a.wav".to_owned(), message: "on purpose".to_owned() }
    }

    fn dead(code: &str, detail: &str) -> Settlement {
        Settlement::DeadLetter(DeadLetterReason {
            code: code.to_owned(),
            detail: detail.to_owned(),
        })
    }

    #[test]
    fn transient_failures_are_retried_until_the_delays_are_used_up() {
        let transient = failure(FailureCode::SourceUnavailable);
        let settle = |attempt| policy().settle(&transient, attempt);
        assert_eq!(settle(0), Settlement::Retry(Duration::from_secs(10)));
        assert_eq!(settle(1), Settlement::Retry(Duration::from_secs(60)));
        let detail = "source_unavailable: on purpose (after 3 attempts)";
        assert_eq!(settle(2), dead("source_unavailable", detail));
        assert!(matches!(settle(u32::MAX - 1), Settlement::DeadLetter(_)));
    }

    #[test]
    fn permanent_failures_are_dead_letters_at_once() {
        let settlement = policy().settle(&failure(FailureCode::AudioEmpty), 0);
        assert_eq!(settlement, dead("audio_empty", "audio_empty: on purpose"));
    }

    #[test]
    fn interrupted_jobs_are_released_on_every_attempt() {
        for attempt in [0, 2, 9] {
            let settlement = policy().settle(&failure(FailureCode::Interrupted), attempt);
            assert_eq!(settlement, Settlement::Release);
        }
    }

    #[test]
    fn a_job_that_was_redelivered_too_often_lost_its_workers() {
        assert_eq!(policy().worker_lost(2), None);
        assert!(policy().worker_lost(3).unwrap().starts_with("3 workers were lost"));
    }

    #[test]
    fn a_missing_record_delays_the_dead_letter_while_retries_remain() {
        let letter = || dead("audio_empty", "");
        let settle =
            |transient, attempt| policy().settle_without_record(letter(), transient, attempt);
        assert_eq!(settle(true, 1), Settlement::Retry(Duration::from_secs(60)));
        assert_eq!(settle(true, 2), letter());
        assert_eq!(settle(false, 0), letter());
    }
}
