//! Finds batches, those of `submit` and those of other programs.

use job::{Batch, BatchId};
use ledger::BatchLedger;

/// Returns the record of a batch; `None` if another program submitted its jobs, and wrote none.
///
/// # Errors
///
/// The store does not answer, or has nothing of the batch.
pub(crate) async fn find(
    ledger: &BatchLedger,
    batch: &BatchId,
    out: &str,
) -> anyhow::Result<Option<Batch>> {
    let record = ledger.batch().await?;
    if record.is_none() && !ledger.has_records().await? {
        anyhow::bail!(
            "there is no batch {batch} below {out}: nothing is stored under {}/. Check the id and \
             --out. If another program submits the jobs, it writes batch.json there, or the first \
             record comes with the first job that a worker runs (docs/jobs.md)",
            ledger.prefix()
        );
    }
    Ok(record)
}
