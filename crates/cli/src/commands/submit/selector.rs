//! What becomes of each recording that is listed: a job, or the reason why there is none.

use std::sync::Arc;

use job::{Job, ManifestJob, Submission, SubmissionCounts};
use ledger::{BatchLedger, State};
use location::Location;
use serde::Serialize;
use store::Stores;

use crate::{
    existing::Existing,
    ignored::Ignored,
    naming::{AllRenamed, Named, Naming},
    progress::SubmissionProgress,
    sources::{Found, Item},
};

/// Counts of a submission, for its report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) jobs: u64,
    /// Recordings whose job is done, of an earlier submission.
    pub(super) already_done: u64,
    /// Recordings with a transcript, with `--skip-existing`.
    pub(super) up_to_date: u64,
    /// Files that are no recordings, or were filtered out.
    #[serde(flatten)]
    pub(super) ignored: Ignored,
    /// Transcripts whose name is not the one that was asked for.
    #[serde(flatten)]
    pub(super) renamed: AllRenamed,
    /// Recordings without a job.
    pub(super) failed: u64,
}

impl Totals {
    /// Goes on with the counts of a submission that was interrupted.
    fn restore(counts: &SubmissionCounts) -> Self {
        Self {
            jobs: counts.jobs,
            already_done: counts.already_done,
            up_to_date: counts.up_to_date,
            ignored: Ignored::restore(&counts.ignored),
            renamed: AllRenamed::restore(counts.renamed),
            failed: counts.failed,
        }
    }

    pub(super) fn counts(&self) -> SubmissionCounts {
        SubmissionCounts {
            jobs: self.jobs,
            already_done: self.already_done,
            up_to_date: self.up_to_date,
            ignored: self.ignored.counts(),
            renamed: self.renamed.total(),
            failed: self.failed,
        }
    }
}

/// A recording that gets a job.
pub(super) struct Chosen {
    pub(super) line: ManifestJob,
    pub(super) job: Job,
    pub(super) item: Item,
}

/// Chooses the recordings of one submission.
pub(super) struct Selector<'a> {
    submission: &'a Submission,
    /// Prefix of the batch's records.
    records: String,
    naming: Naming,
    /// What became of the jobs of earlier submissions.
    earlier: State,
    existing: Option<Existing>,
    progress: &'a SubmissionProgress,
    pub(super) totals: Totals,
}

impl<'a> Selector<'a> {
    /// Reads what became of earlier submissions, and which transcripts there are. The submission has
    /// `counts` already.
    pub(super) async fn new(
        stores: &Arc<Stores>,
        ledger: &BatchLedger,
        submission: &'a Submission,
        counts: &SubmissionCounts,
        progress: &'a SubmissionProgress,
    ) -> anyhow::Result<Self> {
        let output: Location = submission.output.parse()?;
        let earlier = match submission.earlier_jobs {
            Some(_) => ledger.state().await?,
            None => State::default(),
        };
        let existing = match submission.selected.skip_existing {
            true => Some(Existing::list(stores, &output).await?),
            false => None,
        };
        let inputs = match &submission.input {
            job::Input::Paths(paths) => paths.len(),
            // Its rows may name anything.
            job::Input::Manifest { .. } => usize::MAX,
        };
        Ok(Self {
            submission,
            records: ledger.prefix().to_owned(),
            naming: Naming::new(output, submission.name, inputs),
            earlier,
            existing,
            progress,
            totals: Totals::restore(counts),
        })
    }

    /// Returns whether the jobs that are in the manifest already must be restored.
    pub(super) fn needs_restore(&self) -> bool {
        self.naming.needs_restore()
    }

    /// Remembers the name of a job that is in the manifest.
    pub(super) fn restore(&self, job: &ManifestJob) {
        if let Some(output) = &job.output {
            self.naming.restore(output, job.source.reveal());
        }
    }

    /// Counts what was found; returns the recording that gets a job.
    pub(super) fn take(&mut self, found: Found) -> Option<Chosen> {
        match found {
            Found::Recording(item) => {
                self.progress.listed();
                let (source, line) =
                    (item.source.to_string(), item.row.as_ref().map(|row| row.line));
                match self.choose(item) {
                    Ok(chosen) => return chosen,
                    Err(error) => {
                        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
                        self.fail(&format!("{line}{source}: {error:#}"));
                    }
                }
            }
            Found::Ignored(file) => {
                let line = self.totals.ignored.add(file);
                line.into_iter().for_each(|line| self.progress.say(&line));
            }
            Found::Failed(failure) => self.fail(&format!("{}: {failure}", failure.source)),
            // It is listed again by the next attempt, and not a failure of the submission.
            Found::Broken(failure) => {
                self.progress.say(&format!("not listed to the end: {}: {failure}", failure.source));
            }
            Found::Reached(_) => {}
        }
        None
    }

    fn fail(&mut self, message: &str) {
        self.progress.say(&format!("not submitted: {message}"));
        self.totals.failed += 1;
    }

    fn choose(&mut self, item: Item) -> anyhow::Result<Option<Chosen>> {
        let output = match self.naming.name(&item)? {
            Named::Repeated => return Ok(None),
            Named::Output(output, renamed) => {
                if let Some(renamed) = renamed {
                    self.progress.say(&self.totals.renamed.add(renamed));
                }
                output
            }
        };
        let is_up_to_date = |existing: &Existing| existing.is_up_to_date(&output, item.modified);
        if self.existing.as_ref().is_some_and(is_up_to_date) {
            self.totals.up_to_date += 1;
            return Ok(None);
        }
        let base = &self.submission.options;
        let options = match &item.row {
            Some(row) => row.row.job_options(base)?,
            None => base.clone(),
        };
        let own_options = (options != *base).then(|| options.clone());
        let source = item.source.to_uri();
        let batch = self.submission.batch.clone();
        let mut job = Job::new(batch, source, output.to_string(), self.records.clone(), options);
        job.fresh = self.existing.as_ref().is_some_and(|existing| existing.has_nothing_of(&job));
        // An invalid job is refused here, so that no worker has to.
        job.validate()?;
        if self.earlier.is_done(&job.id) {
            self.totals.already_done += 1;
            return Ok(None);
        }
        self.totals.jobs += 1;
        let line = ManifestJob {
            id: job.id.clone(),
            source: job.source.clone(),
            output: Some(job.output.clone()),
            options: own_options,
            generation: self.earlier.next_generation(&job.id),
        };
        Ok(Some(Chosen { line, job, item }))
    }
}
