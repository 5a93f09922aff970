//! `scriptorium submit`: publishes one job per recording, as one batch.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use app::Config;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use job::{Batch, Job, JobOptions, Records};
use location::Location;
use queue::{AmqpQueue, Message, Queue};
use serde_json::json;
use store::{ErrorKind, PutOptions, Stores};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
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

    submission.write_batch(&stores).await?;
    history::remember(&submission.batch.id, &submission.batch.output);
    let published = submission.publish(&stores, &queue, &args).await?;
    submission.batch.jobs = Some(published.jobs);
    submission.write_batch(&stores).await?;

    let batch = &submission.batch.id;
    if args.json && !args.wait {
        print_json(&json!({
            "batch": batch,
            "jobs": published.jobs,
            "ignored": published.ignored,
            "failed": published.failed,
            "out": submission.batch.output,
        }))?;
    } else if !args.json {
        print_line(batch.as_str())?;
    }
    // Nothing found is a failure, too: the prefix may be mistyped.
    let complete = published.failed == 0 && published.jobs > 0;
    let code = if complete { exit::SUCCESS } else { exit::FAILURE };
    if !args.wait {
        return Ok(code);
    }
    let waited = status::follow(&stores, &submission.output, batch, args.json).await?;
    Ok(waited.max(code))
}

/// A batch that is being submitted.
struct Submission {
    batch: Batch,
    output: Location,
    records: Records,
    options: JobOptions,
    claims: Claims,
}

/// Counts of a submission.
struct Published {
    jobs: u64,
    /// Files without the extension of a recording.
    ignored: u64,
    /// Recordings without a job.
    failed: u64,
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<store::Error>().is_some_and(|error| error.kind == ErrorKind::NotFound)
}

impl Submission {
    async fn new(args: &SubmitArgs, output: Location, stores: &Stores) -> anyhow::Result<Self> {
        let options = JobOptions {
            formats: args.format.iter().copied().map(convert::output_format).collect(),
            model: args.model.clone(),
            ..args.recordings.options()?
        };
        let mut batch = Batch::new(args.recordings.paths.clone(), output.to_string());
        if let Some(id) = &args.batch {
            batch.id = id.clone();
        }
        let records = Records::under(&batch.output, &batch.id);
        if args.batch.is_some() {
            // Keeps the time of the first submission. A record of another version is an error, and
            // is not overwritten.
            match status::read_batch(stores, &records).await {
                Ok(first) => batch.submitted_at = first.submitted_at,
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let claims = Claims::below(&batch.sources);
        Ok(Self { batch, output, records, options, claims })
    }

    async fn write_batch(&self, stores: &Stores) -> anyhow::Result<()> {
        let (store, key) = stores.open(&self.records.batch().parse()?)?;
        let body = Bytes::from(self.batch.to_vec());
        let options =
            PutOptions { content_type: Some("application/json"), ..PutOptions::default() };
        store.put(&key, body, options).await.context("cannot write the batch's record")?;
        Ok(())
    }

    /// Publishes a job for every recording; returns once the broker has confirmed all of them.
    async fn publish(
        &self,
        stores: &Arc<Stores>,
        queue: &AmqpQueue,
        args: &SubmitArgs,
    ) -> anyhow::Result<Published> {
        let progress = Progress::start();
        let (sender, receiver) = mpsc::channel(CONCURRENT_PUBLISHES);
        let listing = tokio::spawn({
            let (stores, paths) = (stores.clone(), self.batch.sources.clone());
            let all_files = args.recordings.all_files;
            async move { sources::list(&stores, &paths, all_files, &sender).await }
        });
        let (jobs, ignored, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let found = ReceiverStream::new(receiver).map(Ok::<_, anyhow::Error>);
        found
            .try_for_each_concurrent(CONCURRENT_PUBLISHES, async |found| {
                match found {
                    Found::Recording(item) => match self.job(&item) {
                        Ok(None) => {}
                        Ok(Some(job)) => {
                            self.submit(stores, queue, &job, args.batch.is_some())
                                .await
                                .with_context(|| {
                                    format!(
                                        "submission interrupted; continue it with --batch {}",
                                        self.batch.id
                                    )
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

    /// Publishes one job. If the batch is submitted `again`, deletes the record of an earlier
    /// failure of the job first, so that it is not taken for the result.
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
                store
                    .delete(&key)
                    .await
                    .context("cannot delete the record of an earlier failure")?;
            }
        }
        let message = Message { id: job.id.clone(), body: job.to_vec().into(), attempt: 0 };
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
        let records = self.records.prefix().to_owned();
        let job = Job::new(self.batch.id.clone(), source, output, records, self.options.clone());
        // An invalid job is refused here, so that no worker has to.
        job.validate().map_err(|error| UsageError(error.to_string()))?;
        Ok(Some(job))
    }
}
