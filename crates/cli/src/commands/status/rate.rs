//! How fast a batch is worked on, from its counts at several times.

use std::{collections::VecDeque, time::Duration};

use ledger::Counted;
use tokio::time::Instant;

/// Time over which the speed is measured.
const SPAN: Duration = Duration::from_secs(120);
/// Before this time, there is no speed.
const MIN_SPAN: Duration = Duration::from_secs(5);

/// Counts of the last two minutes.
#[derive(Debug, Default)]
pub(super) struct Rate {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    ended: u64,
    audio_seconds: f64,
}

/// How fast a batch is worked on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    /// Audio seconds per second, of all workers.
    pub(super) audio: f64,
    /// Until all jobs have ended, at this speed.
    pub(super) left: Option<Duration>,
}

impl Rate {
    /// Adds a count. Returns the speed, once something has ended.
    pub(super) fn add(&mut self, counted: &Counted, at: Instant) -> Option<Speed> {
        let ended = counted.tally.done + counted.tally.failed;
        let sample = Sample { at, ended, audio_seconds: counted.audio_seconds };
        while self.samples.get(1).is_some_and(|second| at - second.at >= SPAN) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let first = self.samples.front()?;
        let seconds = (at - first.at).as_secs_f64();
        let newly_ended = ended.saturating_sub(first.ended);
        if at - first.at < MIN_SPAN || newly_ended == 0 {
            return None;
        }
        let remaining = counted.tally.queued + counted.tally.running;
        let left = remaining as f64 * seconds / newly_ended as f64;
        Some(Speed {
            audio: (sample.audio_seconds - first.audio_seconds).max(0.0) / seconds,
            left: counted.tally.jobs.map(|_| Duration::from_secs_f64(left.min(1e9))),
        })
    }
}

#[cfg(test)]
mod tests {
    use ledger::{BatchControl, Tally};

    use super::*;

    fn counted(done: u64, audio_seconds: f64) -> Counted {
        let tally = Tally { jobs: Some(1000), queued: 1000 - done, done, ..Tally::default() };
        Counted { tally, audio_seconds, control: BatchControl::Active, ..Counted::default() }
    }

    #[test]
    fn the_speed_is_that_of_the_last_two_minutes() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let mut at = |seconds, done, audio| {
            rate.add(&counted(done, audio), start + Duration::from_secs(seconds))
        };
        assert_eq!(at(0, 0, 0.0), None);
        assert_eq!(at(2, 1, 60.0), None, "too early to say");
        let speed = at(100, 100, 6000.0).unwrap();
        assert_eq!((speed.audio, speed.left), (60.0, Some(Duration::from_secs(900))));
        at(200, 100, 6000.0);
        // Slower since: nothing has ended for two minutes.
        assert_eq!(at(330, 100, 6000.0), None);
        let speed = at(400, 120, 7000.0).unwrap();
        assert_eq!(speed.audio, 5.0);
    }
}
