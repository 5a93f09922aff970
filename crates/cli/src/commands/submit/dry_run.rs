//! `submit --dry-run`: what would be submitted, and how much work it is. Writes nothing.

use std::sync::Arc;

use app::Config;
use job::{Batch, SubmissionCounts};
use ledger::BatchLedger;
use location::Location;
use serde::Serialize;
use store::Stores;
use tokio_util::sync::CancellationToken;

use super::{
    SubmitArgs, describe,
    estimate::{Estimate, Sample},
    run::Run,
    selector::Totals,
};
use crate::{
    commands::{print_json, print_line},
    exit,
    progress::SubmissionProgress,
};

/// A dry run as JSON.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    out: &'a str,
    #[serde(flatten)]
    totals: &'a Totals,
    #[serde(flatten)]
    estimate: &'a Estimate,
}

pub(super) async fn run(
    config: &Config,
    args: &SubmitArgs,
    output: Location,
    stores: &Arc<Stores>,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let surveyed = async {
        let (mut submission, manifest) = describe(config, args, output, stores).await?;
        let batch = submission.batch.clone();
        let ledger = BatchLedger::new(stores.clone(), &submission.output.parse()?, &batch);
        if args.batch.is_some() {
            let first: Option<Batch> = ledger.batch().await?;
            submission.earlier_jobs = first.map(|first| first.jobs.unwrap_or(0));
        }
        let progress = SubmissionProgress::start();
        let run =
            Run { stores, ledger: &ledger, submission: &submission, stop, progress: &progress };
        let mut selector = run.selector(&SubmissionCounts::default()).await?;
        let (mut found, listing) = run.list(None, manifest)?;
        let mut sample = Sample::default();
        while let Some(found) = found.recv().await {
            if let Some(chosen) = selector.take(found) {
                sample.add(&chosen.item);
            }
        }
        let complete = listing.await??;
        let estimate = sample.measure(stores, config.audio.options()?, args.speed).await;
        anyhow::Ok((submission.output.clone(), selector.totals, estimate, complete))
    };
    let (out, totals, estimate, complete) = tokio::select! {
        surveyed = surveyed => surveyed?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    if args.json {
        print_json(&Report { dry_run: true, out: &out, totals: &totals, estimate: &estimate })?;
    } else {
        let Totals { jobs, already_done, up_to_date, ignored, failed, .. } = &totals;
        print_line(&format!(
            "{jobs} jobs would be submitted, {already_done} are done already, {up_to_date} have a \
             transcript, {failed} failed{ignored}"
        ))?;
        for line in estimate.to_string().lines() {
            print_line(line)?;
        }
    }
    let found = totals.jobs + totals.already_done + totals.up_to_date > 0;
    Ok(if complete && found && totals.failed == 0 { exit::SUCCESS } else { exit::FAILURE })
}
