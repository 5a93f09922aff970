//! `submit --dry-run`: what would be submitted, and how much work it is. Writes nothing.

use std::sync::Arc;

use app::Config;
use job::Submission;
use location::Location;
use serde::Serialize;
use store::Stores;
use tokio_util::sync::CancellationToken;

use super::{
    SubmitArgs,
    estimate::{Estimate, Sample},
    selector::{Chosen, Totals},
    survey::Survey,
};
use crate::{
    commands::{print_json, print_line},
    exit,
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
    let survey = Survey { config, args, stores, stop };
    let begin =
        |submission: &Submission| anyhow::Ok((submission.output.clone(), Sample::default()));
    let surveyed = async {
        let take = |(_, sample): &mut (String, Sample), chosen: Chosen| {
            sample.add(&chosen.item);
            Ok(())
        };
        let ((out, sample), surveyed) = survey.run(output, begin, take).await?;
        let estimate = sample.measure(stores, config.audio.options()?, args.speed).await;
        anyhow::Ok((out, surveyed, estimate))
    };
    let (out, surveyed, estimate) = tokio::select! {
        surveyed = surveyed => surveyed?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let totals = &surveyed.totals;
    if args.json {
        print_json(&Report { dry_run: true, out: &out, totals, estimate: &estimate })?;
    } else {
        let Totals { jobs, already_done, up_to_date, ignored, failed, .. } = totals;
        print_line(&format!(
            "{jobs} jobs would be submitted, {already_done} are done already, {up_to_date} have a \
             transcript, {failed} failed{ignored}"
        ))?;
        for line in estimate.to_string().lines() {
            print_line(line)?;
        }
    }
    Ok(if surveyed.is_good() { exit::SUCCESS } else { exit::FAILURE })
}
