//! The time that a run may take: a decoder, a recognizer or a store may hang or crawl in a way that no
//! other timeout notices.

use std::time::Duration;

use speech::pipeline::{Progress, Session};
use tokio::time::Instant;

use crate::WorkerConfig;

const MAX_WATCH_INTERVAL: Duration = Duration::from_secs(60);

/// Limits of the time that a run takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeBudget {
    /// Longest time without progress.
    stall: Duration,
    /// Longest time per second of audio, after the first `stall`.
    seconds_per_audio_second: u64,
}

impl TimeBudget {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        Self {
            stall: Duration::from_secs(config.stall_seconds),
            seconds_per_audio_second: config.max_seconds_per_audio_second,
        }
    }

    /// Watches a run. Ends when its budget is spent, with the reason. Audio whose windows were recalled
    /// from checkpoints counts as progress like any other.
    pub(super) async fn watch(&self, session: &Session) -> String {
        let mut start = Instant::now();
        let (mut last, mut since) = (session.progress(), start);
        let mut most = last;
        loop {
            tokio::time::sleep(self.stall.min(MAX_WATCH_INTERVAL) / 4).await;
            let progress = session.progress();
            if session.is_waiting() {
                // Time that it waits for memory is not its own.
                (start, since) = (Instant::now(), Instant::now());
            }
            if progress != last {
                (last, since) = (progress, Instant::now());
                // Each audio track begins again at 0.
                if progress.seconds > most.seconds {
                    most = progress;
                }
            }
            if let Some(reason) = self.exceeded(start.elapsed(), since.elapsed(), most) {
                return reason;
            }
        }
    }

    /// Returns why a run of this age, whose last progress is `idle` ago, has spent its budget.
    fn exceeded(&self, age: Duration, idle: Duration, progress: Progress) -> Option<String> {
        let per_second = self.seconds_per_audio_second as f64;
        if idle >= self.stall {
            return Some(format!("no progress for {} s", self.stall.as_secs()));
        }
        let budget = self.stall.as_secs_f64() + per_second * progress.seconds;
        (age.as_secs_f64() > budget).then(|| {
            format!(
                "only {:.0} s of audio in {} s: more than {per_second} s for a second of audio",
                progress.seconds,
                age.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_neither_stall_nor_crawl() {
        let budget = TimeBudget { stall: Duration::from_secs(10), seconds_per_audio_second: 3 };
        let exceeded = |age, idle, seconds| {
            let progress = Progress { seconds, bytes: 1 };
            budget.exceeded(Duration::from_secs(age), Duration::from_secs(idle), progress)
        };
        assert_eq!(exceeded(9, 9, 0.0), None);
        assert_eq!(exceeded(309, 9, 100.0), None);
        assert_eq!(exceeded(10, 10, 5.0), Some("no progress for 10 s".to_owned()));
        assert_eq!(
            exceeded(311, 0, 100.0),
            Some("only 100 s of audio in 311 s: more than 3 s for a second of audio".to_owned())
        );
    }
}
