//! Runs one submission, from its beginning or from where it was interrupted: listing, naming, writing
//! the manifest and publishing at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use job::{
    BatchId, Cursor, Input, Job, ManifestJob, PartEnd, Published, Submission, SubmissionCounts,
};
use ledger::{BatchLedger, Ledger, Part, SubmissionLedger};
use queue::AmqpQueue;
use store::Stores;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    publish::{Confirmed, PartJobs, Publisher, record},
    selector::{Selector, Totals},
};
use crate::{
    filter::Filter,
    manifest::Manifest,
    progress::SubmissionProgress,
    sources::{self, Found},
};

/// Entries that the listing may be ahead.
const LISTED_AHEAD: usize = 4096;
/// Entries that are taken from the listing at a time.
const ENTRIES_AT_A_TIME: usize = 512;

/// Where a submission begins.
#[derive(Default)]
pub(super) struct Start {
    /// Parts of the manifest that are written.
    pub(super) parts: u32,
    /// How far the input is listed with them; `None`: nothing is.
    pub(super) end: Option<PartEnd>,
    pub(super) published: Published,
}

impl Start {
    /// Reads where a submission was interrupted.
    pub(super) async fn read(ledger: &SubmissionLedger) -> Result<Self, ledger::Error> {
        let published = ledger.published().await?;
        let parts = ledger.parts().await?;
        let end = match parts.checked_sub(1) {
            Some(last) => Some(ledger.read_part(last).await?.1),
            None => None,
        };
        Ok(Self { parts, end, published })
    }

    /// Whether the whole input is listed.
    pub(super) fn is_listed(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.end)
    }

    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.end.as_ref().map(|end| &end.cursor)
    }
}

/// What has come of a submission.
pub(super) struct Ran {
    pub(super) totals: Totals,
    /// Whether everything was listed and published.
    pub(super) complete: bool,
    /// The trace that the submission belongs to, or empty.
    pub(super) trace: String,
    /// What went wrong.
    pub(super) result: anyhow::Result<()>,
}

/// What a submission works with.
pub(super) struct Run<'a> {
    pub(super) stores: &'a Arc<Stores>,
    pub(super) ledger: &'a BatchLedger,
    pub(super) submission: &'a Submission,
    pub(super) stop: &'a CancellationToken,
    pub(super) progress: &'a SubmissionProgress,
}

impl<'a> Run<'a> {
    /// Submits what `start` leaves. `manifest` is opened if there is one to read.
    pub(super) async fn submit(
        &self,
        queue: &AmqpQueue,
        start: Start,
        manifest: Option<Manifest>,
    ) -> anyhow::Result<Ran> {
        let records = self.ledger.submission(&self.submission.id);
        let counts = start.end.as_ref().map_or_else(Default::default, |end| end.counts.clone());
        let mut selector = tokio::select! {
            selector = self.selector(&counts) => selector?,
            () = self.stop.cancelled() => {
                let (totals, trace) = (Totals::default(), String::new());
                return Ok(Ran { totals, complete: false, trace, result: Ok(()) });
            }
        };
        let jobs = Ledger::new(self.stores.clone());
        let trace = telemetry::current_trace(&tracing::Span::current());
        let publisher = Publisher {
            queue,
            lane: self.submission.lane.parse().map_err(anyhow::Error::msg)?,
            jobs: &jobs,
            progress: self.progress,
            stop: self.stop,
            has_warned: AtomicBool::new(false),
            trace: trace.clone(),
            resubmitted: AtomicU64::new(0),
        };
        let (sender, parts) = mpsc::channel(1);
        let confirmed = Confirmed { published: start.published, jobs: 0 };
        let (confirmed, seen) = watch::channel(confirmed);
        let (record_jobs, recorded) = watch::channel(0);
        let recording = tokio::spawn(record(records.clone(), seen, record_jobs));
        let feed = async {
            let fed = self.feed(&records, start, manifest, &mut selector, &sender).await;
            drop(sender);
            fed
        };
        let (fed, sent) = tokio::join!(feed, publisher.publish(parts, confirmed, recorded));
        let resubmitted = publisher.resubmitted.into_inner();
        jobs.count_resubmitted(self.ledger.prefix(), resubmitted).await?;
        let totals = selector.totals;
        // A failed record ends publishing, and failed publishing ends the listing: the first is the cause.
        let (listed, result) = match (recording.await?, sent, fed) {
            (Err(error), ..) => (false, Err(error.into())),
            (Ok(()), Err(error), _) | (Ok(()), Ok(()), Err(error)) => (false, Err(error)),
            (Ok(()), Ok(()), Ok(listed)) => (listed, Ok(())),
        };
        Ok(Ran { totals, complete: listed && !self.stop.is_cancelled(), trace, result })
    }

    pub(super) async fn selector(&self, counts: &SubmissionCounts) -> anyhow::Result<Selector<'a>> {
        Selector::new(self.stores, self.ledger, self.submission, counts, self.progress).await
    }

    /// Sends the jobs of all parts that are not known to be published to `parts`: first those that are
    /// written, then those that are listed now. Returns whether nothing is left to be listed.
    async fn feed(
        &self,
        records: &SubmissionLedger,
        start: Start,
        manifest: Option<Manifest>,
        selector: &mut Selector<'_>,
        parts: &mpsc::Sender<PartJobs>,
    ) -> anyhow::Result<bool> {
        let is_listed = start.is_listed();
        let restores = selector.needs_restore() && !is_listed;
        let first = if restores { 0 } else { start.published.part };
        for number in first..start.parts {
            let (lines, _) = records.read_part(number).await?;
            if restores {
                lines.iter().for_each(|line| selector.restore(line));
            }
            if number >= start.published.part {
                let done = if number == start.published.part { start.published.jobs } else { 0 };
                let jobs = lines.into_iter().skip(done).map(|line| self.job(line)).collect();
                if parts.send(PartJobs { number, first: done, jobs }).await.is_err() {
                    return Ok(false);
                }
            }
        }
        if is_listed {
            return Ok(true);
        }
        let (mut found, listing) = self.list(start.cursor().cloned(), manifest)?;
        let mut writer = PartWriter {
            records,
            parts,
            number: start.parts,
            part: Part::default(),
            jobs: Vec::new(),
            cursor: start.end.map(|end| end.cursor),
        };
        let mut entries = Vec::with_capacity(ENTRIES_AT_A_TIME);
        loop {
            let count = tokio::select! {
                count = found.recv_many(&mut entries, ENTRIES_AT_A_TIME) => count,
                () = self.stop.cancelled() => return Ok(false),
                // Publishing has failed.
                () = parts.closed() => return Ok(false),
            };
            if count == 0 {
                break;
            }
            for entry in entries.drain(..) {
                if let Found::Reached(cursor) = entry {
                    writer.cursor = Some(cursor);
                    if writer.part.is_full() && !writer.write(false, selector).await? {
                        return Ok(false);
                    }
                } else if let Some(chosen) = selector.take(entry) {
                    writer.part.add(&chosen.line);
                    writer.jobs.push((chosen.job, chosen.line.generation));
                }
            }
        }
        let complete = listing.await??;
        // Also without any job: it says that the listing has ended.
        Ok(writer.write(complete, selector).await? && complete)
    }

    /// Begins to list the input behind `cursor`.
    pub(super) fn list(
        &self,
        cursor: Option<Cursor>,
        manifest: Option<Manifest>,
    ) -> anyhow::Result<(mpsc::Receiver<Found>, tokio::task::JoinHandle<anyhow::Result<bool>>)>
    {
        let (sender, found) = mpsc::channel(LISTED_AHEAD);
        let filter = Filter::new(&self.submission.selected)?;
        let listing = match (manifest, &self.submission.input) {
            (Some(manifest), _) => {
                let read = if let Some(Cursor::Rows(read)) = cursor { read } else { 0 };
                tokio::spawn(manifest.list(read, filter, sender))
            }
            (None, Input::Paths(paths)) => {
                let paths = paths.iter().map(Into::into).collect();
                let request = sources::Request { paths, filter, name: self.submission.name };
                let stores = self.stores.clone();
                tokio::spawn(async move {
                    let from = cursor.unwrap_or_default();
                    Ok(sources::list(&stores, &request, from, &sender).await)
                })
            }
            // Without the manifest, nothing more can be listed.
            (None, Input::Manifest { .. }) => tokio::spawn(async { Ok(false) }),
        };
        Ok((found, listing))
    }

    /// Returns the job of a line of the manifest.
    fn job(&self, line: ManifestJob) -> (Job, u32) {
        let Submission { batch, options, .. } = self.submission;
        let options = line.options.unwrap_or_else(|| options.clone());
        let (records, output) = (self.ledger.prefix().to_owned(), line.output.unwrap_or_default());
        let batch: BatchId = batch.clone();
        (Job::new(batch, line.source, output, records, options), line.generation)
    }
}

/// Writes the parts of a manifest, and sends their jobs to the publisher.
struct PartWriter<'a> {
    records: &'a SubmissionLedger,
    parts: &'a mpsc::Sender<PartJobs>,
    number: u32,
    part: Part,
    jobs: Vec<(Job, u32)>,
    /// How far the input is listed.
    cursor: Option<Cursor>,
}

impl PartWriter<'_> {
    /// Writes the part, before its jobs are published. Returns whether they will be.
    async fn write(&mut self, end: bool, selector: &Selector<'_>) -> anyhow::Result<bool> {
        if !end && self.part.jobs() == 0 {
            return Ok(true);
        }
        let cursor = self.cursor.clone().unwrap_or_default();
        let end = PartEnd { cursor, end, counts: selector.totals.counts() };
        let part = std::mem::take(&mut self.part);
        self.records.write_part(self.number, part, &end).await?;
        let jobs = PartJobs { number: self.number, first: 0, jobs: std::mem::take(&mut self.jobs) };
        self.number += 1;
        Ok(self.parts.send(jobs).await.is_ok())
    }
}
