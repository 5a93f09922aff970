//! `submit --resume`: goes on with the submissions of a batch that were interrupted.

use std::ffi::OsString;

use app::Config;
use job::{Batch, BatchId, Cursor, Input, Submission};
use ledger::BatchLedger;
use store::Stores;
use tokio_util::sync::CancellationToken;

use super::{Call, Report, SubmitArgs, run::Start, selector::Totals};
use crate::{
    UsageError,
    args::output_prefix,
    commands::{connect, print_json, status},
    exit, history,
    manifest::Manifest,
    output,
    progress::SubmissionProgress,
};

pub(super) async fn run(
    config: &Config,
    args: SubmitArgs,
    id: BatchId,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let out = args.out.clone().map_or_else(|| history::recall(&id), Ok)?;
    let output = output_prefix(&out)?;
    let stores = app::stores(config)?;
    let ledger = BatchLedger::new(stores.clone(), &output, &id);
    let unfinished = ledger.unfinished().await?;
    let batch = match (ledger.batch().await?, unfinished.first()) {
        (Some(batch), _) => batch,
        // The submission was interrupted between its first two records.
        (None, Some(first)) => begun_by(first),
        (None, None) => anyhow::bail!("there is no batch {id} below {output}"),
    };
    history::remember(&batch.id, &batch.output);
    if unfinished.is_empty() {
        return nothing_to_resume(config, &args, batch, ledger).await;
    }
    let from_pipes = unfinished
        .iter()
        .filter(|submission| matches!(submission.input, Input::Manifest { location: None, .. }));
    if args.manifest.is_some() && from_pipes.count() != 1 {
        let message = "--manifest continues a submission whose manifest came from standard input, and \
                       there is not exactly one";
        return Err(UsageError(message.to_owned()).into());
    }
    let queue = tokio::select! {
        queue = connect(config) => queue?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let (wait, json, stop) = (args.wait, args.json, stop.clone());
    let events = config.worker.events;
    let call = Call { batch, ledger, stores, queue, events, wait, json, stop };
    call.announce()?;
    let progress = SubmissionProgress::start();
    let mut ran = Vec::new();
    for submission in unfinished {
        let start = Start::read(&call.ledger.submission(&submission.id)).await?;
        let manifest = reopen(&call.stores, &args, &submission, &start).await?;
        let is_missing = manifest.is_none()
            && !start.is_listed()
            && matches!(submission.input, Input::Manifest { .. });
        let rows = if let Some(Cursor::Rows(rows)) = start.cursor() { *rows } else { 0 };
        let submitted = call.submit(&submission, &progress, start, manifest).await?;
        if is_missing {
            progress.say(&format!(
                "the manifest came from standard input, and {rows} of its rows are submitted. Give \
                 it again from its beginning, for the rest: scriptorium submit --resume {id} \
                 --manifest -"
            ));
        }
        let goes_on = submitted.complete && submitted.result.is_ok() || is_missing;
        ran.push((submission, submitted));
        if !goes_on {
            break;
        }
    }
    call.finish(&progress, ran).await
}

/// Returns the record of the batch that a submission began.
fn begun_by(submission: &Submission) -> Batch {
    let sources = match &submission.input {
        Input::Paths(paths) => paths.clone(),
        Input::Manifest { location, .. } => {
            vec![location.clone().unwrap_or_else(|| "-".to_owned())]
        }
    };
    let batch = Batch::new(sources, submission.output.clone());
    let submitted_at = submission.submitted_at.clone();
    Batch { id: submission.batch.clone(), submitted_at, ..batch }
}

/// Opens the manifest of a submission if there is something left to be read in it.
async fn reopen(
    stores: &Stores,
    args: &SubmitArgs,
    submission: &Submission,
    start: &Start,
) -> anyhow::Result<Option<Manifest>> {
    let Input::Manifest { location, format, etag } = &submission.input else { return Ok(None) };
    if start.is_listed() {
        return Ok(None);
    }
    let Some(location) = location else {
        return match &args.manifest {
            Some(path) => {
                let format = args.manifest_format.unwrap_or(*format);
                Manifest::open(stores, path, Some(format)).await.map(Some)
            }
            None => Ok(None),
        };
    };
    let manifest = Manifest::open(stores, &OsString::from(location), Some(*format)).await?;
    let now = match &manifest.input {
        Input::Manifest { etag, .. } => etag,
        Input::Paths(_) => &None,
    };
    if now == etag {
        return Ok(Some(manifest));
    }
    let message = format!(
        "{location} has changed since the submission began: submit it again with --batch {}",
        submission.batch
    );
    Err(UsageError(message).into())
}

async fn nothing_to_resume(
    config: &Config,
    args: &SubmitArgs,
    batch: Batch,
    ledger: BatchLedger,
) -> anyhow::Result<u8> {
    let id = &batch.id;
    match batch.jobs {
        Some(jobs) => {
            output::say(&format!("nothing to resume: all {jobs} jobs of batch {id} are submitted"));
        }
        None => output::say(&format!(
            "nothing to resume: the submission of batch {id} left no record. Repeat it with --batch {id}"
        )),
    }
    let complete = batch.jobs.is_some();
    if args.wait && complete {
        let queue = connect(config).await?;
        let view = status::View { ledger, batch: batch.id, out: batch.output };
        return view.follow(Some(&queue), args.json).await;
    }
    if args.json {
        let totals = &Totals::default();
        print_json(&Report { batch: id, out: &batch.output, complete, totals })?;
    }
    Ok(if complete { exit::SUCCESS } else { exit::FAILURE })
}
