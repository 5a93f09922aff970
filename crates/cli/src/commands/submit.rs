//! `scriptorium submit`: publishes one job per recording, as one batch.

use std::sync::Arc;

use anyhow::Context;
use app::Config;
use futures::{StreamExt, TryStreamExt};
use job::{Batch, BatchId, Job, JobOptions};
use ledger::{BatchLedger, Ledger, State};
use location::Location;
use queue::{AmqpQueue, Counts, Lane, Message, Queue};
use serde::Serialize;
use store::Stores;
use tokio::sync::mpsc;
use worker::convert;

use crate::{
    UsageError,
    args::{SubmitArgs, output_prefix},
    commands::{print_json, print_line, status},
    exit, history,
    ignored::Ignored,
    naming::{AllRenamed, Named, Naming, Renamed},
    progress::Progress,
    sources::{self, Found, Item},
    writable,
};

/// Jobs that are published concurrently: the broker confirms them in groups.
const CONCURRENT_PUBLISHES: usize = 512;

pub(crate) async fn run(config: &Config, args: SubmitArgs) -> anyhow::Result<u8> {
    let output = output_prefix(&args.out)?;
    let stores = app::stores(config)?;
    let queue = app::queue_config(config)?;
    // In S3, the record of the batch shows it, and with fewer permissions than a probe needs.
    if matches!(output, Location::File(_)) {
        writable::check(&stores, &output).await?;
    }
    let queue = AmqpQueue::connect(queue).await?;
    let mut submission = Submission::new(config, &args, output, &stores).await?;
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
        .publish(&stores, &queue)
        .await
        .with_context(|| format!("submission interrupted; continue it with --batch {batch}"))?;
    if published.complete {
        submission.batch.jobs = Some(submission.count_jobs(published.jobs).await?);
        submission.ledger.write_batch(&submission.batch).await.context(BATCH_RECORD)?;
    }
    if args.json && !args.wait {
        print_json(&Report {
            batch: &batch,
            out: &submission.batch.output,
            published: &published,
        })?;
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
    /// What this submission lists.
    request: sources::Request,
    naming: Naming,
    options: JobOptions,
    lane: Lane,
}

/// A submission as JSON.
#[derive(Serialize)]
struct Report<'a> {
    batch: &'a BatchId,
    out: &'a str,
    #[serde(flatten)]
    published: &'a Published,
}

/// Counts of a submission.
#[derive(Debug, Default, Serialize)]
struct Published {
    jobs: u64,
    /// Recordings whose job is done, of an earlier submission.
    already_done: u64,
    /// Files that are no recordings.
    #[serde(flatten)]
    ignored: Ignored,
    /// Transcripts whose name is not the one that was asked for.
    #[serde(flatten)]
    renamed: AllRenamed,
    /// Recordings without a job.
    failed: u64,
    /// Whether all recordings were listed.
    #[serde(skip)]
    complete: bool,
}

impl Submission {
    async fn new(
        config: &Config,
        args: &SubmitArgs,
        output: Location,
        stores: &Arc<Stores>,
    ) -> anyhow::Result<Self> {
        let options = JobOptions {
            formats: args.format.iter().copied().map(convert::output_format).collect(),
            model: args.model.clone(),
            language_suffix: config.output.language_suffix.then_some(true),
            ..args.recordings.options()?
        };
        options.check().map_err(UsageError)?;
        let paths = args.recordings.paths.iter().map(|path| sources::text_of(path)).collect();
        let mut batch = Batch::new(paths, output.to_string());
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
        let request = sources::Request {
            paths: args.recordings.paths.clone(),
            all_files: args.recordings.all_files,
            name: config.output.name,
        };
        let naming = Naming::new(output, config.output.name, request.paths.len());
        let jobs = Ledger::new(stores.clone());
        let lane = args.lane;
        Ok(Self { batch, ledger, jobs, state, earlier_jobs, request, naming, options, lane })
    }

    /// Returns the number of jobs of all submissions of the batch, of which this one has `jobs`.
    async fn count_jobs(&self, jobs: u64) -> anyhow::Result<u64> {
        let Some(earlier) = self.earlier_jobs else { return Ok(jobs) };
        // Batches of the first version have no list of their jobs.
        Ok(earlier.max(self.ledger.submitted().await?.len() as u64))
    }

    /// Publishes a job for every recording; returns once the broker has confirmed all of them.
    async fn publish(&self, stores: &Arc<Stores>, queue: &AmqpQueue) -> anyhow::Result<Published> {
        let progress = Progress::start();
        let (sender, mut found) = mpsc::channel(CONCURRENT_PUBLISHES);
        let listing = tokio::spawn({
            let (stores, request) = (stores.clone(), self.request.clone());
            async move { sources::list(&stores, request, &sender).await }
        });
        let mut published = Published::default();
        let mut manifest = self.ledger.submission(uuid::Uuid::now_v7().to_string());
        let mut jobs = Vec::new();
        while let Some(found) = found.recv().await {
            match found {
                Found::Recording(item) => match self.job(&item, |renamed| {
                    progress.say(&published.renamed.add(renamed));
                }) {
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
                        progress.say(&format!("not submitted: {}: {error:#}", item.source));
                        published.failed += 1;
                    }
                },
                Found::Ignored(file) => {
                    let line = published.ignored.add(file);
                    line.into_iter().for_each(|line| progress.say(&line));
                }
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
        let Published { jobs, already_done, ignored, failed, complete, .. } = &published;
        progress.say(&format!(
            "{jobs} jobs submitted, {already_done} done already, {failed} failed{ignored}"
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
        let lane = self.lane;
        let message = Message { lane, counts, ..Message::new(job.id.clone(), job.to_vec()) };
        Ok(queue.publish(message).await?)
    }

    /// Returns the job of a recording; `None` if the recording was listed before.
    fn job(&self, item: &Item, on_rename: impl FnOnce(Renamed)) -> anyhow::Result<Option<Job>> {
        let output = match self.naming.name(item)? {
            Named::Repeated => return Ok(None),
            Named::Output(output, renamed) => {
                if let Some(renamed) = renamed {
                    on_rename(renamed);
                }
                output.to_string()
            }
        };
        let records = self.ledger.prefix().to_owned();
        let source = item.source.to_string();
        let job = Job::new(self.batch.id.clone(), source, output, records, self.options.clone());
        // An invalid job is refused here, so that no worker has to.
        job.validate()?;
        Ok(Some(job))
    }
}
