//! What a submission would publish, without anything being written.

use std::sync::Arc;

use app::Config;
use job::{Batch, Submission, SubmissionCounts};
use ledger::BatchLedger;
use location::Location;
use store::Stores;
use tokio_util::sync::CancellationToken;

use super::{
    SubmitArgs, describe,
    run::Run,
    selector::{Chosen, Totals},
};
use crate::progress::SubmissionProgress;

/// What the arguments ask for, before it is listed.
pub(super) struct Survey<'a> {
    pub(super) config: &'a Config,
    pub(super) args: &'a SubmitArgs,
    pub(super) stores: &'a Arc<Stores>,
    pub(super) stop: &'a CancellationToken,
}

/// What was listed.
pub(super) struct Surveyed {
    pub(super) totals: Totals,
    /// Whether the whole input was listed.
    pub(super) complete: bool,
}

impl Survey<'_> {
    /// Calls `begin` with the submission, then `chosen` with each recording that would get a job, in the
    /// order of the listing, until it returns an error.
    pub(super) async fn run<T>(
        &self,
        output: Location,
        begin: impl FnOnce(&Submission) -> anyhow::Result<T>,
        mut chosen: impl FnMut(&mut T, Chosen) -> anyhow::Result<()>,
    ) -> anyhow::Result<(T, Surveyed)> {
        let Self { config, args, stores, stop } = *self;
        let (mut submission, manifest) = describe(config, args, output, stores).await?;
        let batch = submission.batch.clone();
        let ledger = BatchLedger::new(stores.clone(), &submission.output.parse()?, &batch);
        if args.batch.is_some() {
            let first: Option<Batch> = ledger.batch().await?;
            submission.earlier_jobs = first.map(|first| first.jobs.unwrap_or(0));
        }
        let mut begun = begin(&submission)?;
        let progress = SubmissionProgress::start();
        let run =
            Run { stores, ledger: &ledger, submission: &submission, stop, progress: &progress };
        let mut selector = run.selector(&SubmissionCounts::default()).await?;
        let (mut found, listing) = run.list(None, manifest)?;
        while let Some(found) = found.recv().await {
            if let Some(found) = selector.take(found) {
                chosen(&mut begun, found)?;
            }
        }
        let complete = listing.await??;
        Ok((begun, Surveyed { totals: selector.totals, complete }))
    }
}

impl Surveyed {
    /// Whether the whole input was listed, has a recording, and each has a job or needs none.
    pub(super) fn is_good(&self) -> bool {
        let Totals { jobs, already_done, up_to_date, failed, .. } = &self.totals;
        self.complete && jobs + already_done + up_to_date > 0 && *failed == 0
    }
}
