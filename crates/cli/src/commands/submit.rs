//! `scriptorium submit`: publishes one job per recording, as one batch.

use std::sync::Arc;

use anyhow::Context;
use app::Config;
use futures::{StreamExt, TryStreamExt};
use job::{Batch, Job, JobOptions};
use ledger::{BatchLedger, Ledger, State};
use location::Location;
use queue::{AmqpQueue, Counts, Message, Queue};
use serde_json::json;
use store::Stores;
use tokio::sync::mpsc;
use worker::convert;

use crate::{
    UsageError,
    args::{SubmitArgs, output_prefix},
    claims::{self, Claim, Claims},
    commands::{print_json, print_line, status},
    exit, history,
    progress::Progress,
    sources::{self, Found, Item},
};

/// Jobs that are published concurrently: the broker confirms them in groups.
const CONCURRENT_PUBLISHES: usize = 512;

pub(crate) async fn run(config: &Config, args: SubmitArgs) -> anyhow::Result<u8> {
    let output = output_prefix(&args.out)?;
    let stores = app::stores(config)?;
    let queue = AmqpQueue::connect(app::queue_config(config)?).await?;
    let mut submission = Submission::new(&args, output, &stores).await?;
    submission.ledger.write_batch(&submission.batch).await.context(BATCH_RECORD)?;
    history::remember(&submission.batch.id, &submission.batch.output);
    let batch = submission.batch.id.clone();
    // First of all: whatever happens now, the batch can be looked at and continued.
    if args.json {
        crate::output::say(&format!("batch {batch}"));
    } else {
        print_line(batch.as_str())?;
    }

    let published = submission
        .publish(&stores, &queue, args.recordings.all_files)
        .await
        .with_context(|| format!("submission interrupted; continue it with --batch {batch}"))?;
    if published.complete {
        submission.batch.jobs = Some(submission.count_jobs(published.jobs).await?);
        submission.ledger.write_batch(&submission.batch).await.context(BATCH_RECORD)?;
    }
    if args.json && !args.wait {
        print_json(&json!({
            "batch": batch,
            "jobs": published.jobs,
            "already_done": published.already_done,
            "ignored": published.ignored,
            "failed": published.failed,
            "out": submission.batch.output,
        }))?;
    }
    // Nothing found is a failure, too: the prefix may be mistyped.
    let found = published.jobs + published.already_done > 0;
    let complete = published.complete && published.failed == 0 && found;
    let code = if complete { exit::SUCCESS } else { exit::FAILURE };
    if !args.wait {
        return Ok(code);
    }
    let view = status::View { ledger: submission.ledger, batch, out: submission.batch.output };
    let waited = view.follow(Some(&queue), args.json).await?;
    Ok(waited.max(code))
}

const BATCH_RECORD: &str = "cannot write the batch's record";

/// A batch that is being submitted.
struct Submission {
    batch: Batch,
    ledger: BatchLedger,
    jobs: Ledger,
    /// What became of the jobs that were submitted before.
    state: State,
    /// Number of jobs that were submitted before; `None`: this is the first submission.
    earlier_jobs: Option<u64>,
    /// Paths of this submission.
    paths: Vec<String>,
    output: Location,
    options: JobOptions,
    claims: Claims,
}

/// Counts of a submission.
#[derive(Debug, Default)]
struct Published {
    jobs: u64,
    /// Recordings whose job is done, of an earlier submission.
    already_done: u64,
    /// Files without the extension of a recording.
    ignored: u64,
    /// Recordings without a job.
    failed: u64,
    /// Whether all recordings were listed.
    complete: bool,
}

impl Submission {
    async fn new(
        args: &SubmitArgs,
        output: Location,
        stores: &Arc<Stores>,
    ) -> anyhow::Result<Self> {
        let options = JobOptions {
            formats: args.format.iter().copied().map(convert::output_format).collect(),
            model: args.model.clone(),
            ..args.recordings.options()?
        };
        let mut batch = Batch::new(args.recordings.paths.clone(), output.to_string());
        if let Some(id) = &args.batch {
            batch.id = id.clone();
        }
        let ledger = BatchLedger::new(stores.clone(), &output, &batch.id);
        let (mut state, mut earlier_jobs) = (State::default(), None);
        // A record that another version has written is an error, and is not overwritten.
        if args.batch.is_some()
            && let Some(first) = ledger.batch().await?
        {
            // The batch is that of all its submissions: it never shrinks.
            batch.submitted_at = first.submitted_at;
            let added = batch.sources.iter().filter(|source| !first.sources.contains(source));
            batch.sources = first.sources.iter().chain(added).cloned().collect();
            earlier_jobs = Some(first.jobs.unwrap_or(0));
            state = ledger.state().await?;
        }
        let paths = args.recordings.paths.clone();
        let claims = Claims::below(&paths);
        let jobs = Ledger::new(stores.clone());
        Ok(Self { batch, ledger, jobs, state, earlier_jobs, paths, output, options, claims })
    }

    /// Returns the number of jobs of all submissions of the batch, of which this one has `jobs`.
    async fn count_jobs(&self, jobs: u64) -> anyhow::Result<u64> {
        let Some(earlier) = self.earlier_jobs else { return Ok(jobs) };
        // Batches of the first version have no list of their jobs.
        Ok(earlier.max(self.ledger.submitted().await?.len() as u64))
    }

    /// Publishes a job for every recording; returns once the broker has confirmed all of them.
    async fn publish(
        &self,
        stores: &Arc<Stores>,
        queue: &AmqpQueue,
        all_files: bool,
    ) -> anyhow::Result<Published> {
        let progress = Progress::start();
        let (sender, mut found) = mpsc::channel(CONCURRENT_PUBLISHES);
        let listing = tokio::spawn({
            let (stores, paths) = (stores.clone(), self.paths.clone());
            async move { sources::list(&stores, &paths, all_files, &sender).await }
        });
        let mut published = Published::default();
        let mut manifest = self.ledger.submission(uuid::Uuid::now_v7().to_string());
        let mut jobs = Vec::new();
        while let Some(found) = found.recv().await {
            match found {
                Found::Recording(item) => match self.job(&item) {
                    Ok(None) => {}
                    Ok(Some(job)) if self.state.is_done(&job.id) => published.already_done += 1,
                    Ok(Some(job)) => {
                        let full = manifest.add(&job);
                        jobs.push(job);
                        if full {
                            manifest.write().await?;
                            published.jobs += self.publish_jobs(queue, &mut jobs).await?;
                        }
                    }
                    Err(error) => {
                        progress.say(&format!("not submitted: {}: {error}", item.source));
                        published.failed += 1;
                    }
                },
                Found::Ignored => published.ignored += 1,
                Found::Failed(failure) => {
                    progress.say(&format!("not submitted: {}: {failure}", failure.source));
                    published.failed += 1;
                }
            }
        }
        // Before its jobs are published, so that there is no job that nobody knows.
        manifest.write().await?;
        published.jobs += self.publish_jobs(queue, &mut jobs).await?;
        published.complete = listing.await?;
        let Published { jobs, already_done, ignored, failed, complete } = &published;
        progress.say(&format!(
            "{jobs} jobs submitted, {already_done} done already, {ignored} files ignored, \
             {failed} failed"
        ));
        if !complete {
            progress.say(&format!(
                "the listing broke off: submit the rest with --batch {}",
                self.batch.id
            ));
        }
        Ok(published)
    }

    /// Publishes jobs, and returns their number.
    async fn publish_jobs(&self, queue: &AmqpQueue, jobs: &mut Vec<Job>) -> anyhow::Result<u64> {
        let count = jobs.len() as u64;
        futures::stream::iter(jobs.drain(..))
            .map(Ok)
            .try_for_each_concurrent(CONCURRENT_PUBLISHES, |job| self.publish_job(queue, job))
            .await?;
        Ok(count)
    }

    async fn publish_job(&self, queue: &AmqpQueue, job: Job) -> anyhow::Result<()> {
        let generation = self.state.next_generation(&job.id);
        if generation > 0 {
            let recorded = self.jobs.resubmit(&job, generation).await;
            recorded.context("cannot record that the job is submitted again")?;
        }
        let counts = Counts { generation, ..Counts::default() };
        let message = Message { counts, ..Message::new(job.id.clone(), job.to_vec()) };
        Ok(queue.publish(message).await?)
    }

    /// Returns the job of a recording; `None` if the recording was listed before.
    fn job(&self, item: &Item) -> Result<Option<Job>, UsageError> {
        let output =
            self.output.join(&item.relative).map_err(|error| UsageError(error.to_string()))?;
        let (source, output) = (item.source.to_string(), output.to_string());
        match self.claims.claim(&output, &source) {
            Claim::Granted => {}
            Claim::Repeated => return Ok(None),
            Claim::Taken(by) => return Err(UsageError(claims::taken(&by))),
        }
        let records = self.ledger.prefix().to_owned();
        let job = Job::new(self.batch.id.clone(), source, output, records, self.options.clone());
        // An invalid job is refused here, so that no worker has to.
        job.validate().map_err(|error| UsageError(error.to_string()))?;
        Ok(Some(job))
    }
}
