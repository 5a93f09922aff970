//! `scriptorium submit`: publishes one job per recording, as one batch.
//!
//! Listing, naming, writing the manifest and publishing run at the same time ([`mod@run`]). The records that
//! they write let an interrupted submission go on ([`resume`]).

mod announce;
mod args;
mod dry_run;
mod estimate;
mod job_json;
mod publish;
mod resume;
mod run;
mod selector;
mod survey;

use std::sync::Arc;

use anyhow::Context;
use app::Config;
use job::{Batch, BatchId, Input, JobOptions, Submission};
use ledger::{BatchControl, BatchLedger};
use location::Location;
use queue::AmqpQueue;
use serde::Serialize;
use store::Stores;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(crate) use self::args::SubmitArgs;
use self::{
    announce::Announcements,
    run::{Ran, Run, Start},
    selector::Totals,
};
use crate::{
    UsageError,
    args::output_prefix,
    commands::{connect, print_json, print_line, status},
    exit,
    filter::Filter,
    history,
    manifest::Manifest,
    output,
    progress::SubmissionProgress,
    sources,
    termination::termination,
    writable,
};

const BATCH_RECORD: &str = "cannot write the batch's record";

pub(crate) async fn run(config: &Config, args: SubmitArgs) -> anyhow::Result<u8> {
    let stop = termination()?;
    if let Some(batch) = args.resume.clone() {
        return resume::run(config, args, batch, &stop).await;
    }
    // Clap demands it.
    let output = output_prefix(args.out.as_deref().unwrap_or_default())?;
    let stores = app::stores(config)?;
    if let Some(url) = &args.notify {
        let allowed = config.notify.check(url);
        allowed.map_err(|refusal| UsageError(format!("--notify {url}: {refusal}")))?;
    }
    if args.dry_run {
        return dry_run::run(config, &args, output, &stores, &stop).await;
    }
    if args.job_json {
        return job_json::run(config, &args, output, &stores, &stop).await;
    }
    let prepared = async {
        // In S3, the record of the batch shows it, and with fewer permissions than a probe needs.
        if !matches!(output, Location::S3 { .. }) {
            writable::check(&stores, &output).await?;
        }
        let queue = connect(config).await?;
        let (submission, manifest) = describe(config, &args, output, &stores).await?;
        anyhow::Ok((queue, submission, manifest))
    };
    let (queue, mut submission, manifest) = tokio::select! {
        prepared = prepared => prepared?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let batch = begin(&args, &mut submission, &stores).await?;
    let ledger = BatchLedger::new(stores.clone(), &submission.output.parse()?, &batch.id);
    let call = Call {
        batch,
        ledger,
        stores,
        queue,
        events: config.worker.events,
        wait: args.wait,
        json: args.json,
        stop,
    };
    call.announce()?;
    let progress = SubmissionProgress::start();
    let ran = call.submit(&submission, &progress, Start::default(), manifest).await?;
    call.finish(&progress, vec![(submission, ran)]).await
}

/// Returns what the arguments ask for, and the opened manifest if there is one.
async fn describe(
    config: &Config,
    args: &SubmitArgs,
    output: Location,
    stores: &Stores,
) -> anyhow::Result<(Submission, Option<Manifest>)> {
    let options = JobOptions {
        formats: args.format.iter().copied().collect(),
        model: args.model.clone(),
        language_suffix: config.output.language_suffix.then_some(true),
        ..args.recordings.options()?
    };
    options.check().map_err(UsageError)?;
    let mut selected = args.filter.selected(args.recordings.all_files)?;
    selected.skip_existing = args.skip_existing;
    let filter = Filter::new(&selected)?;
    let (input, manifest) = match &args.manifest {
        Some(path) => {
            let manifest = Manifest::open(stores, path, args.manifest_format).await?;
            (manifest.input.clone(), Some(manifest))
        }
        None => {
            let name = config.output.name;
            let mut request = sources::Request { paths: args.paths.clone(), filter, name };
            request.sort();
            // URIs mean the same in every folder. A path that has none fails when it is listed.
            let uris = request.paths.iter().map(|path| {
                Location::from_os_argument(path)
                    .map_or_else(|_| sources::text_of(path), |location| uri_of(&location))
            });
            (Input::Paths(uris.collect()), None)
        }
    };
    let batch = args.batch.clone().unwrap_or_else(BatchId::generate);
    let submission = Submission {
        selected,
        lane: args.lane.unwrap_or_default().to_string(),
        notify: args.notify.as_ref().map(|url| url.reveal().to_owned()),
        options,
        name: config.output.name,
        ..Submission::new(batch, output.to_string(), input)
    };
    Ok((submission, manifest))
}

/// Returns the URI of a path, complete, so that the submission can be resumed. A folder keeps its slash, which
/// tells it from an object.
fn uri_of(location: &Location) -> String {
    let uri = location.to_uri();
    if location.is_prefix() && !uri.ends_with('/') { uri + "/" } else { uri }
}

/// Writes the records of the submission and of the batch, which has those of earlier submissions.
async fn begin(
    args: &SubmitArgs,
    submission: &mut Submission,
    stores: &Arc<Stores>,
) -> anyhow::Result<Batch> {
    let sources = match (&submission.input, &args.manifest) {
        (_, Some(manifest)) => vec![manifest.to_string_lossy().into_owned()],
        (_, None) => args.paths.iter().map(|path| sources::text_of(path)).collect(),
    };
    let mut batch = Batch::new(sources, submission.output.clone());
    batch.id = submission.batch.clone();
    let ledger = BatchLedger::new(stores.clone(), &submission.output.parse()?, &batch.id);
    // A record that another version has written is an error, and is not overwritten.
    if args.batch.is_some()
        && let Some(first) = ledger.batch().await?
    {
        // The batch is that of all its submissions: it never shrinks.
        batch.submitted_at = first.submitted_at;
        let added = batch.sources.iter().filter(|source| !first.sources.contains(source));
        batch.sources = first.sources.iter().chain(added).cloned().collect();
        submission.earlier_jobs = Some(first.jobs.unwrap_or(0));
        if ledger.control().await? == BatchControl::Cancelled {
            output::say("the batch was cancelled, and is active again");
            ledger.set_control(BatchControl::Active).await?;
        }
        if !ledger.unfinished().await?.is_empty() {
            output::say(&format!(
                "an earlier submission of this batch was interrupted; to continue it: scriptorium \
                 submit --resume {}",
                batch.id
            ));
        }
    }
    ledger.submission(&submission.id).begin(submission).await.context(BATCH_RECORD)?;
    ledger.write_batch(&batch).await.context(BATCH_RECORD)?;
    history::remember(&batch.id, &batch.output);
    Ok(batch)
}

/// One call of the command, which submits within one batch.
struct Call {
    batch: Batch,
    ledger: BatchLedger,
    stores: Arc<Stores>,
    queue: AmqpQueue,
    events: worker::Announcements,
    wait: bool,
    json: bool,
    stop: CancellationToken,
}

/// A call as JSON.
#[derive(Serialize)]
struct Report<'a> {
    batch: &'a BatchId,
    out: &'a str,
    /// Whether everything was listed and published.
    complete: bool,
    #[serde(flatten)]
    totals: &'a Totals,
}

impl Call {
    /// Prints the id first of all: whatever happens now, the batch can be looked at and continued.
    fn announce(&self) -> anyhow::Result<()> {
        if self.json {
            output::say(&format!("batch {}", self.batch.id));
            Ok(())
        } else {
            print_line(self.batch.id.as_str())
        }
    }

    /// Submits what `start` leaves of a submission.
    async fn submit(
        &self,
        submission: &Submission,
        progress: &SubmissionProgress,
        start: Start,
        manifest: Option<Manifest>,
    ) -> anyhow::Result<Ran> {
        let run = Run {
            stores: &self.stores,
            ledger: &self.ledger,
            submission,
            stop: &self.stop,
            progress,
        };
        let span = tracing::info_span!("submit", batch = %self.batch.id);
        let ran = run.submit(&self.queue, start, manifest).instrument(span).await;
        ran.with_context(|| self.interrupted())
    }

    fn interrupted(&self) -> String {
        format!(
            "submission interrupted; continue it with: scriptorium submit --resume {}",
            self.batch.id
        )
    }

    /// Records and reports what the submissions have come to, and waits for the jobs if it should.
    async fn finish(
        mut self,
        progress: &SubmissionProgress,
        ran: Vec<(Submission, Ran)>,
    ) -> anyhow::Result<u8> {
        let complete = ran.iter().all(|(_, ran)| ran.complete && ran.result.is_ok());
        if complete {
            self.batch.jobs = Some(count_jobs(&self.ledger, &ran).await?);
            self.ledger.write_batch(&self.batch).await.context(BATCH_RECORD)?;
            for (submission, ran) in &ran {
                // Before the submission counts as complete, so that --resume does it if this fails.
                let announcements =
                    Announcements { queue: &self.queue, batch: &self.batch, events: self.events };
                let announced = announcements.publish(&self.ledger, submission, ran).await;
                announced.with_context(|| self.interrupted())?;
                let records = self.ledger.submission(&submission.id);
                let published = records.published().await?;
                let complete = job::Published { complete: true, ..published };
                records.write_published(complete).await.context(BATCH_RECORD)?;
            }
        }
        let (mut found, mut failed) = (0, 0);
        let is_last = |index: usize| index + 1 == ran.len();
        for (index, (_, ran)) in ran.iter().enumerate() {
            let Totals { jobs, already_done, up_to_date, failed: lacking, .. } = ran.totals;
            found += jobs + already_done + up_to_date;
            failed += lacking;
            progress.say(&line(&ran.totals, progress));
            if self.json && !self.wait && is_last(index) {
                let (batch, out) = (&self.batch.id, &self.batch.output);
                print_json(&Report { batch, out, complete, totals: &ran.totals })?;
            }
        }
        let interrupted = self.interrupted();
        for (_, Ran { result, .. }) in ran {
            result.with_context(|| interrupted.clone())?;
        }
        if !complete {
            progress.say(&interrupted);
            let is_stopped = self.stop.is_cancelled();
            return Ok(if is_stopped { exit::INTERRUPTED } else { exit::FAILURE });
        }
        // Nothing found is a failure, too: the prefix may be mistyped.
        let code = if failed == 0 && found > 0 { exit::SUCCESS } else { exit::FAILURE };
        if !self.wait {
            return Ok(code);
        }
        let Batch { id: batch, output: out, .. } = self.batch;
        let view = status::View { ledger: self.ledger, batch, out };
        let waited = view.follow(Some(&self.queue), self.json).await?;
        Ok(waited.max(code))
    }
}

/// Returns the number of jobs of all submissions of the batch.
async fn count_jobs(ledger: &BatchLedger, ran: &[(Submission, Ran)]) -> anyhow::Result<u64> {
    match ran {
        [(Submission { earlier_jobs: None, .. }, ran)] => Ok(ran.totals.jobs),
        _ => {
            // Batches of the first version have no list of their jobs.
            let earlier = ran.iter().filter_map(|(submission, _)| submission.earlier_jobs).max();
            Ok(ledger.count_submitted().await?.max(earlier.unwrap_or(0)))
        }
    }
}

/// Returns the counts of one submission in words.
fn line(totals: &Totals, progress: &SubmissionProgress) -> String {
    let Totals { jobs, already_done, up_to_date, ignored, failed, .. } = totals;
    let up_to_date = match up_to_date {
        0 => String::new(),
        count => format!(", {count} with a transcript"),
    };
    let seconds = progress.elapsed().as_secs_f64();
    format!(
        "{jobs} jobs submitted, {already_done} done already{up_to_date}, {failed} failed{ignored} \
         ({seconds:.1} s)"
    )
}
