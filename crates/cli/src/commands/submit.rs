use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use job::{Batch, BatchId, Job, Options, Records};
use queue::{AmqpQueue, Message, Queue};
use serde_json::json;
use store::{Location, PutOptions, Stores};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use worker::convert;

use crate::{
    UsageError,
    args::SubmitArgs,
    claims::{self, Claim, Claims},
    commands::{print_json, print_line, status},
    config::Config,
    exit, history,
    progress::Progress,
    sources::{self, Found, Item},
    wiring,
};

/// Jobs being published at a time: the broker confirms them in groups.
const PUBLISHED_AT_A_TIME: usize = 512;

pub(crate) async fn run(config: &Config, args: SubmitArgs) -> anyhow::Result<u8> {
    let output = wiring::output_prefix(&args.out)?;
    let stores = wiring::stores(config)?;
    let queue = AmqpQueue::connect(wiring::queue(config)?).await?;
    let submission = Submission::new(&args, output)?;

    submission.write_batch(&stores, None).await?;
    history::remember(&submission.batch, &submission.output.to_string());
    let published = submission.publish(&stores, &queue, &args).await?;
    submission.write_batch(&stores, Some(published.jobs)).await?;

    let batch = &submission.batch;
    if args.json && !args.wait {
        print_json(&json!({
            "batch": batch,
            "jobs": published.jobs,
            "ignored": published.ignored,
            "failed": published.failed,
            "out": submission.output.to_string(),
        }))?;
    } else if !args.json {
        print_line(batch.as_str())?;
    }
    // Nothing found is a failure too: a mistyped prefix must not pass for work done.
    let complete = published.failed == 0 && published.jobs > 0;
    let code = if complete { exit::SUCCESS } else { exit::FAILURE };
    if !args.wait {
        return Ok(code);
    }
    let waited = status::follow(&stores, &submission.output, batch, args.json).await?;
    Ok(waited.max(code))
}

/// One batch on its way into the queue.
struct Submission {
    batch: BatchId,
    output: Location,
    records: Records,
    sources: Vec<String>,
    options: Options,
    submitted_at: String,
    claims: Claims,
}

struct Published {
    jobs: u64,
    ignored: u64,
    failed: u64,
}

impl Submission {
    fn new(args: &SubmitArgs, output: Location) -> anyhow::Result<Self> {
        let batch = args.batch.clone().unwrap_or_else(BatchId::generate);
        let options = Options {
            formats: args.format.iter().copied().map(convert::output_format).collect(),
            model: args.model.clone(),
            ..args.recordings.options()?
        };
        let sources = args.recordings.paths.clone();
        Ok(Self {
            records: Records::under(&output.to_string(), &batch),
            claims: Claims::below(&sources),
            batch,
            output,
            sources,
            options,
            submitted_at: OffsetDateTime::now_utc().format(&Rfc3339)?,
        })
    }

    async fn write_batch(&self, stores: &Stores, jobs: Option<u64>) -> anyhow::Result<()> {
        let batch = Batch {
            version: job::SCHEMA_VERSION,
            id: self.batch.clone(),
            sources: self.sources.clone(),
            output: self.output.to_string(),
            jobs,
            submitted_at: self.submitted_at.clone(),
        };
        let (store, key) = stores.open(&self.records.batch().parse()?)?;
        let body = Bytes::from(serde_json::to_vec_pretty(&batch)?);
        let options =
            PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
        store.put(&key, body, options).await.context("cannot write the batch's record")?;
        Ok(())
    }

    /// Publishes a job for every recording; returns once the broker has them all.
    async fn publish(
        &self,
        stores: &std::sync::Arc<Stores>,
        queue: &AmqpQueue,
        args: &SubmitArgs,
    ) -> anyhow::Result<Published> {
        let progress = Progress::start();
        let (sender, receiver) = mpsc::channel(PUBLISHED_AT_A_TIME);
        let listing = tokio::spawn({
            let (stores, paths) = (stores.clone(), self.sources.clone());
            let all_files = args.recordings.all_files;
            async move { sources::list(&stores, &paths, all_files, &sender).await }
        });
        let (jobs, ignored, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let found = ReceiverStream::new(receiver).map(Ok::<_, anyhow::Error>);
        found
            .try_for_each_concurrent(PUBLISHED_AT_A_TIME, async |found| {
                match found {
                    Found::Recording(item) => match self.job(&item) {
                        Ok(None) => {}
                        Ok(Some(job)) => {
                            self.submit(stores, queue, &job, args.batch.is_some())
                                .await
                                .with_context(|| {
                                    format!("submission cut off; go on with --batch {}", self.batch)
                                })?;
                            jobs.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            progress.say(&format!("not submitted: {}: {error}", item.source));
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                    Found::Ignored => {
                        ignored.fetch_add(1, Ordering::Relaxed);
                    }
                    Found::Failed(failure) => {
                        progress.say(&format!("not submitted: {}: {failure}", failure.source));
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            })
            .await?;
        listing.await?;
        let published = Published {
            jobs: jobs.into_inner(),
            ignored: ignored.into_inner(),
            failed: failed.into_inner(),
        };
        progress.say(&format!(
            "{} jobs submitted, {} files ignored, {} failed",
            published.jobs, published.ignored, published.failed
        ));
        Ok(published)
    }

    /// Publishes one job. Where the batch was submitted before, the job may have failed then: that
    /// is history now, and must not be taken for the outcome.
    async fn submit(
        &self,
        stores: &Stores,
        queue: &AmqpQueue,
        job: &Job,
        again: bool,
    ) -> anyhow::Result<()> {
        if again {
            for uri in [self.records.failed(&job.id), job.error_record()] {
                let (store, key) = stores.open(&uri.parse()?)?;
                store.delete(&key).await.context("cannot delete the record of a failure")?;
            }
        }
        let message = Message { id: job.id.clone(), body: job.to_vec().into(), attempt: 0 };
        Ok(queue.publish(message).await?)
    }

    /// The job of a recording; none if the recording was named before.
    fn job(&self, item: &Item) -> Result<Option<Job>, UsageError> {
        let output =
            self.output.join(&item.relative).map_err(|error| UsageError(error.to_string()))?;
        let (source, output) = (item.source.to_string(), output.to_string());
        match self.claims.claim(&output, &source) {
            Claim::Granted => {}
            Claim::Repeated => return Ok(None),
            Claim::Taken(by) => return Err(UsageError(claims::taken(&by))),
        }
        let records = self.records.prefix().to_owned();
        let job = Job::new(self.batch.clone(), source, output, records, self.options.clone());
        // Refused here rather than by the worker that leases it.
        job.validate().map_err(|error| UsageError(error.to_string()))?;
        Ok(Some(job))
    }
}
