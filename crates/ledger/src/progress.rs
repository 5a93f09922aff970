//! The progress of a batch: what its workers have counted, or, exactly, what its records say.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use futures::{StreamExt, TryStreamExt};
use job::Batch;
use serde::{Deserialize, Serialize};
use store::{Condition, ObjectMeta};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{BatchControl, BatchLedger, Error, Setback, State, Tally, WorkerTally, records};

/// Tallies that are read concurrently.
const CONCURRENT_READS: usize = 64;
/// The records of batches with at most this many jobs are listed, for exact numbers at any time: that is
/// at most ten requests for each state.
const MAX_LISTED: u64 = 10_000;
/// A worker whose tally is older is gone, or has no jobs of the batch: it is rewritten while jobs run.
const STALE: Duration = Duration::from_secs(120);

/// Name of the tally that makes up for what killed workers had not written.
const CORRECTION: &str = "correction";

/// The tallies of a batch that were read, to read again only what has changed.
#[derive(Debug, Default)]
pub struct Tallies {
    /// By key.
    read: HashMap<String, ReadTally>,
}

/// A tally as it was read.
#[derive(Debug)]
struct ReadTally {
    etag: String,
    /// By the clock of the store if that says, which is the same for all tallies; otherwise by the clock
    /// of the worker, but not later than by ours.
    written: Option<SystemTime>,
    tally: WorkerTally,
}

impl ReadTally {
    fn new(etag: String, modified: Option<SystemTime>, tally: WorkerTally) -> Self {
        let own = || {
            let at = OffsetDateTime::parse(&tally.at, &Rfc3339).ok()?;
            Some(SystemTime::from(at).min(SystemTime::now()))
        };
        Self { etag, written: modified.or_else(own), tally }
    }
}

/// The progress of a batch.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counted {
    #[serde(flatten)]
    pub tally: Tally,
    pub control: BatchControl,
    /// Jobs of a cancelled batch that will not be run.
    pub cancelled: u64,
    /// Whether the numbers are those of the records, not of the workers' tallies, which may lag behind by
    /// seconds and miss what a killed worker did last.
    pub exact: bool,
    /// Jobs whose transcript existed.
    pub up_to_date: u64,
    /// Retries so far.
    pub retried: u64,
    /// The latest reason why a job waits for another try; absent once the batch is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_setback: Option<Setback>,
    pub audio_seconds: f64,
    pub cpu_seconds: f64,
    /// Failures so far, by code.
    pub failed_by_code: BTreeMap<String, u64>,
    /// Processes that have worked on the batch.
    pub workers: u64,
    /// Jobs whose end is recorded and that no worker has counted yet, if the records were listed: what is
    /// not a number of jobs is too small by theirs.
    #[serde(skip)]
    pub uncounted: u64,
    /// What the records say about each job, if they were listed.
    #[serde(skip)]
    pub state: Option<State>,
}

impl Counted {
    /// Returns whether nothing more will happen to the batch.
    pub fn is_over(&self) -> bool {
        match self.control {
            BatchControl::Cancelled => self.tally.running == 0 && self.tally.jobs.is_some(),
            BatchControl::Active | BatchControl::Paused => self.tally.is_over(),
        }
    }
}

/// A count of all records, taken at one time, and what the tallies said then.
#[derive(Debug, Serialize, Deserialize)]
struct Difference {
    done: i64,
    failed: i64,
}

impl BatchLedger {
    /// Counts the jobs of the batch by state: by listing the records of a small batch, from the workers'
    /// tallies of a large one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Invalid`] if a tally is damaged.
    pub async fn count(&self, batch: &Batch, tallies: &mut Tallies) -> Result<Counted, Error> {
        let (control, summed) = futures::try_join!(self.control(), self.read_tallies(tallies))?;
        let counted = summed.sum.done.saturating_add(summed.sum.failures());
        if batch.jobs.unwrap_or(0).max(counted) <= MAX_LISTED {
            let state = self.state().await?;
            return Ok(summed.exactly(state, batch.jobs, control));
        }
        Ok(summed.roughly(batch.jobs, control))
    }

    /// Counts the jobs of the batch by listing all records, and makes up for what the tallies miss if
    /// nothing has happened to the batch meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Self::count`].
    pub async fn recount(&self, batch: &Batch, tallies: &mut Tallies) -> Result<Counted, Error> {
        let before = self.read_tallies(tallies).await?;
        let state = self.state().await?;
        let (control, after) = futures::try_join!(self.control(), self.read_tallies(tallies))?;
        let still = before.sum == after.sum && after.sum.running == 0;
        let counted = after.exactly(state, batch.jobs, control);
        if still {
            let difference = |truth: u64, sum: u64| {
                let [truth, sum] =
                    [truth, sum].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
                truth.saturating_sub(sum)
            };
            let correction = Difference {
                done: difference(counted.tally.done, before.sum.done),
                failed: difference(counted.tally.failed, before.sum.failures()),
            };
            let uri = self.names().tally(CORRECTION);
            records::put(self.stores(), &uri, &correction, Condition::Always).await?;
        }
        Ok(counted)
    }

    async fn read_tallies(&self, tallies: &mut Tallies) -> Result<Summed, Error> {
        let (store, prefix) = self.stores().open(&self.names().all_tallies().parse()?)?;
        let listed = store.list(&prefix).try_filter_map(|object| async move {
            Ok(object.key.ends_with(".json").then_some(object))
        });
        let listed: Vec<_> = listed.try_collect().await?;
        let is_new = |object: &ObjectMeta| {
            tallies.read.get(&object.key).is_none_or(|read| read.etag != object.etag)
        };
        let changed: Vec<_> = listed.into_iter().filter(is_new).collect();
        let correction_key = format!("{prefix}{CORRECTION}.json");
        let mut correction = None;
        let store = &*store;
        let mut read = futures::stream::iter(changed)
            .map(|object| async move {
                match store.get(&object.key, records::MAX_RECORD_BYTES).await {
                    Ok((_, body)) => Ok(Some((object, body))),
                    Err(error) if error.kind == store::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::from(error)),
                }
            })
            .buffer_unordered(CONCURRENT_READS);
        while let Some(found) = read.try_next().await? {
            let Some((ObjectMeta { key, etag, modified, .. }, body)) = found else { continue };
            if key == correction_key {
                correction = Some(records::parse::<Difference>(&key, &body)?);
            } else {
                let tally = records::parse(&key, &body)?;
                tallies.read.insert(key, ReadTally::new(etag, modified, tally));
            }
        }
        drop(read);
        Ok(Summed::of(tallies.read.values(), correction))
    }
}

/// The sum of all tallies.
#[derive(Debug, Default)]
struct Summed {
    sum: WorkerTally,
    correction: Option<Difference>,
    workers: u64,
}

impl Summed {
    fn of<'a>(
        tallies: impl Iterator<Item = &'a ReadTally> + Clone,
        correction: Option<Difference>,
    ) -> Self {
        let mut summed = Self { correction, ..Self::default() };
        // The clock of the store may be ahead of ours.
        let newest = tallies.clone().filter_map(|read| read.written).max();
        let now = newest.unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::now());
        for ReadTally { written, tally, .. } in tallies {
            let mut tally = tally.clone();
            let age = written.and_then(|written| now.duration_since(written).ok());
            if age.is_none_or(|age| age > STALE) {
                tally.running = 0;
            }
            summed.sum.add(&tally);
            summed.workers += 1;
        }
        summed
    }

    fn exactly(self, state: State, jobs: Option<u64>, control: BatchControl) -> Counted {
        let tally = state.tally(jobs);
        self.counted(tally, control, Some(state))
    }

    fn roughly(self, jobs: Option<u64>, control: BatchControl) -> Counted {
        let correction = self.correction.as_ref();
        let corrected = |sum: u64, by: Option<i64>| sum.saturating_add_signed(by.unwrap_or(0));
        let done = corrected(self.sum.done, correction.map(|by| by.done));
        let failed = corrected(self.sum.failures(), correction.map(|by| by.failed));
        let running = self.sum.running;
        let begun = done.saturating_add(failed).saturating_add(running);
        let queued = jobs.unwrap_or(0).saturating_sub(begun);
        self.counted(Tally { jobs, queued, running, done, failed }, control, None)
    }

    fn counted(self, mut tally: Tally, control: BatchControl, state: Option<State>) -> Counted {
        let uncounted = match state {
            Some(_) => {
                (tally.done + tally.failed).saturating_sub(self.sum.done + self.sum.failures())
            }
            None => 0,
        };
        let mut cancelled = 0;
        if control == BatchControl::Cancelled {
            cancelled = std::mem::take(&mut tally.queued);
        }
        let WorkerTally { up_to_date, retried, audio_seconds, cpu_seconds, failed, .. } = self.sum;
        let last_setback = self.sum.last_setback.filter(|_| tally.queued > 0);
        Counted {
            tally,
            control,
            cancelled,
            exact: state.is_some(),
            up_to_date,
            retried,
            last_setback,
            audio_seconds,
            cpu_seconds,
            failed_by_code: failed,
            workers: self.workers,
            uncounted,
            state,
        }
    }
}

/// Returns the progress of a batch from tallies and a correction, as they come from the store.
///
/// # Errors
///
/// [`Error::Invalid`].
#[cfg(any(test, feature = "test-util"))]
pub(crate) fn of_tallies(tallies: &[&[u8]], correction: Option<&[u8]>) -> Result<Counted, Error> {
    let read =
        |body: &&[u8]| Ok(ReadTally::new(String::new(), None, records::parse("tally", body)?));
    let tallies: Vec<_> = tallies.iter().map(read).collect::<Result<_, Error>>()?;
    let correction = correction.map(|body| records::parse("correction", body)).transpose()?;
    Ok(Summed::of(tallies.iter(), correction).roughly(Some(1), BatchControl::Active))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_with_any_numbers_are_summed() -> Result<(), Error> {
        let tally = WorkerTally {
            running: u64::MAX,
            done: u64::MAX,
            failed: [("internal".to_owned(), u64::MAX), ("timeout".to_owned(), 1)].into(),
            at: "9999-12-31T23:59:59Z".to_owned(),
            ..WorkerTally::default()
        };
        let body = serde_json::to_vec(&tally).unwrap();
        let correction = br#"{"done":9223372036854775807,"failed":-9223372036854775808}"#;
        let counted = of_tallies(&[&body, &body], Some(correction))?.tally;
        assert_eq!((counted.done, counted.running, counted.queued), (u64::MAX, u64::MAX, 0));
        assert_eq!(counted.failed, u64::MAX - (1 << 63));
        Ok(())
    }

    /// Returns a tally of one job that runs, written `ago`, by a worker with the clock `at`.
    fn written(ago: Option<Duration>, at: &str) -> ReadTally {
        let tally = WorkerTally { running: 1, at: at.to_owned(), ..WorkerTally::default() };
        ReadTally::new(String::new(), ago.map(|ago| SystemTime::now() - ago), tally)
    }

    #[test]
    fn a_worker_is_gone_if_its_tally_is_old_whatever_the_clocks_of_workers_say() {
        const FUTURE: &str = "2999-01-01T00:00:00Z";
        const PAST: &str = "2001-01-01T00:00:00Z";
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
        let running = |tallies: &[ReadTally]| Summed::of(tallies.iter(), None).sum.running;
        let fresh = || written(Some(Duration::ZERO), PAST);
        assert_eq!(running(&[fresh(), written(Some(Duration::from_secs(60)), FUTURE)]), 2);
        assert_eq!(running(&[fresh(), written(Some(STALE * 2), FUTURE)]), 1);
        // A store that does not say when.
        assert_eq!(running(&[written(None, FUTURE), written(None, &now), written(None, PAST)]), 2);
        assert_eq!(running(&[written(None, "yesterday")]), 0);
    }
}
