//! Decides whether a batch is over.

use std::{fmt, str::FromStr, time::Duration};

use job::{Batch, BatchEnd};
use ledger::{BatchControl, BatchLedger, Counted, Tallies};

/// Time between two looks at a young batch and at an old one; between, a tenth of its age.
const MIN_DELAY: Duration = Duration::from_secs(10);
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Time between two looks at a paused batch, which may stay so for weeks, and should not wake a fleet that
/// has nothing to do.
const PAUSED_DELAY: Duration = Duration::from_secs(600);
/// Time in which workers write what they have counted.
const COUNTING: Duration = Duration::from_secs(5);

/// What a look at a batch has shown.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    Over(BatchEnd),
    /// `seen` is for the next look.
    NotYet {
        delay: Duration,
        seen: String,
    },
}

/// The counts at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    done: u64,
    failed: u64,
    running: u64,
    mark: Mark,
}

/// What was done at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// All records were counted.
    Recounted,
    /// All jobs have ended, and not all workers had counted theirs.
    Uncounted,
}

/// Counts the batch. `seen` is what the last look returned, or empty.
pub(super) async fn look(
    ledger: &BatchLedger,
    batch: &Batch,
    seen: &str,
    age: Duration,
) -> Result<Look, ledger::Error> {
    let before = seen.parse::<Seen>().ok();
    let mut tallies = Tallies::default();
    let mut counted = ledger.count(batch, &mut tallies).await?;
    let mut mark = mark_of(before, &counted);
    if mark != Mark::Recounted && needs_recount(before, &counted) {
        counted = ledger.recount(batch, &mut tallies).await?;
        mark = Mark::Recounted;
    }
    Ok(judge(before, &counted, mark, age))
}

/// Returns whether the records themselves are to be counted: what killed workers had not written is missing
/// from the tallies of a large batch, which then never reach the number of its jobs.
fn needs_recount(before: Option<Seen>, counted: &Counted) -> bool {
    let tally = counted.tally;
    !counted.exact
        && !counted.is_over()
        && counted.control != BatchControl::Paused
        && tally.jobs.is_some()
        && tally.running == 0
        && tally.done + tally.failed > 0
        && before.is_some_and(|before| before.is_still(counted))
}

/// Returns the mark that the last look left, unless something has happened since.
fn mark_of(before: Option<Seen>, counted: &Counted) -> Mark {
    before.filter(|before| before.is_still(counted)).map_or(Mark::None, |before| before.mark)
}

fn judge(before: Option<Seen>, counted: &Counted, mark: Mark, age: Duration) -> Look {
    let was_uncounted = before.is_some_and(|before| before.mark == Mark::Uncounted);
    let is_over = counted.is_over();
    // A job that has just begun has no record, and a cancelled one ends within seconds.
    let may_run = counted.control == BatchControl::Cancelled
        && !before.is_some_and(|before| before.is_still(counted));
    if is_over && !may_run && (counted.uncounted == 0 || was_uncounted) {
        return Look::Over(end_of(counted));
    }
    let (delay, mark) = match counted.control {
        _ if is_over && !may_run => (COUNTING, Mark::Uncounted),
        BatchControl::Paused => (PAUSED_DELAY, mark),
        BatchControl::Active | BatchControl::Cancelled => {
            ((age / 10).clamp(MIN_DELAY, MAX_DELAY), mark)
        }
    };
    let ledger::Tally { done, failed, running, .. } = counted.tally;
    Look::NotYet { delay, seen: Seen { done, failed, running, mark }.to_string() }
}

fn end_of(counted: &Counted) -> BatchEnd {
    BatchEnd {
        jobs: counted.tally.jobs.unwrap_or(0),
        done: counted.tally.done,
        failed: counted.tally.failed,
        cancelled: counted.cancelled,
        up_to_date: counted.up_to_date,
        audio_seconds: counted.audio_seconds,
        cpu_seconds: counted.cpu_seconds,
        failed_by_code: counted.failed_by_code.clone(),
    }
}

impl Seen {
    fn is_still(&self, counted: &Counted) -> bool {
        let ledger::Tally { done, failed, running, .. } = counted.tally;
        (self.done, self.failed, self.running) == (done, failed, running)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, running, mark } = self;
        let mark = match mark {
            Mark::None => "",
            Mark::Recounted => " recounted",
            Mark::Uncounted => " uncounted",
        };
        write!(f, "{done} {failed} {running}{mark}")
    }
}

impl FromStr for Seen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or(());
        let (done, failed, running) = (number()?, number()?, number()?);
        let mark = match words.next() {
            None => Mark::None,
            Some("recounted") => Mark::Recounted,
            Some("uncounted") => Mark::Uncounted,
            Some(_) => return Err(()),
        };
        Ok(Self { done, failed, running, mark })
    }
}

#[cfg(test)]
mod tests {
    use ledger::Tally;

    use super::*;

    fn counted(jobs: Option<u64>, done: u64, running: u64) -> Counted {
        let queued = jobs.unwrap_or(0) - done - running;
        let tally = Tally { jobs, queued, running, done, failed: 0 };
        Counted { tally, exact: true, ..Counted::default() }
    }

    fn seen(text: &str) -> Option<Seen> {
        Some(text.parse().unwrap())
    }

    fn is_over(before: Option<Seen>, counted: &Counted) -> bool {
        matches!(judge(before, counted, Mark::None, Duration::ZERO), Look::Over(_))
    }

    #[test]
    fn a_batch_is_over_when_all_its_jobs_have_ended() {
        assert!(is_over(None, &counted(Some(3), 3, 0)));
        assert!(!is_over(None, &counted(Some(3), 2, 1)));
        assert!(!is_over(None, &counted(Some(3), 2, 0)));
        assert!(!is_over(None, &counted(None, 0, 0)), "it is being submitted");
        let paused = Counted { control: BatchControl::Paused, ..counted(Some(3), 2, 0) };
        assert!(!is_over(None, &paused));
        let cancelled =
            |running| Counted { control: BatchControl::Cancelled, ..counted(Some(3), 1, running) };
        assert!(is_over(seen("1 0 0"), &cancelled(0)));
        assert!(!is_over(None, &cancelled(0)), "a job of it may have just begun");
        assert!(!is_over(seen("0 0 0"), &cancelled(0)), "a job of it has just ended");
        assert!(!is_over(seen("1 0 1"), &cancelled(1)), "a job of it runs");
    }

    #[test]
    fn workers_get_a_moment_to_count_what_they_did_last() {
        let lagging = Counted { uncounted: 1, ..counted(Some(3), 3, 0) };
        let Look::NotYet { delay, seen: left } = judge(None, &lagging, Mark::None, Duration::ZERO)
        else {
            panic!("over")
        };
        assert_eq!((delay, left.as_str()), (COUNTING, "3 0 0 uncounted"));
        assert!(is_over(seen(&left), &lagging), "one of them was killed");
    }

    #[test]
    fn looks_become_rarer_with_age_and_pauses() {
        let delay = |control, seconds| {
            let counted = Counted { control, ..counted(Some(3), 1, 1) };
            match judge(None, &counted, Mark::None, Duration::from_secs(seconds)) {
                Look::NotYet { delay, .. } => delay.as_secs(),
                Look::Over(_) => panic!("over"),
            }
        };
        assert_eq!([0, 200, 86_400].map(|age| delay(BatchControl::Active, age)), [10, 20, 60]);
        assert_eq!(delay(BatchControl::Cancelled, 0), 10);
        assert_eq!(delay(BatchControl::Paused, 0), 600);
    }

    #[test]
    fn a_large_batch_that_stands_still_is_recounted_once() {
        let still = Counted { exact: false, ..counted(Some(20_000), 19_999, 0) };
        assert!(!needs_recount(None, &still));
        assert!(!needs_recount(seen("19998 0 1"), &still));
        assert!(needs_recount(seen("19999 0 0"), &still));
        assert_eq!(mark_of(seen("19999 0 0 recounted"), &still), Mark::Recounted);
        assert_eq!(mark_of(seen("19998 0 0 recounted"), &still), Mark::None);
        let before = seen("19999 0 0");
        for other in [
            Counted { exact: true, ..still.clone() },
            Counted { control: BatchControl::Paused, ..still.clone() },
            Counted { exact: false, ..counted(None, 0, 0) },
        ] {
            assert!(!needs_recount(before, &other), "{other:?}");
        }
        let untouched = Counted { exact: false, ..counted(Some(20_000), 0, 0) };
        assert!(!needs_recount(seen("0 0 0"), &untouched), "nobody has begun with it");
    }

    #[test]
    fn what_was_seen_is_read_back() {
        for text in ["1 2 3", "1 2 3 recounted", "0 0 0 uncounted"] {
            assert_eq!(text.parse::<Seen>().unwrap().to_string(), text);
        }
        for text in ["", "1 2", "1 2 x", "1 2 3 x", "-1 2 3"] {
            assert!(text.parse::<Seen>().is_err(), "{text}");
        }
    }
}
