//! Batches submitted from this machine, so that `status` finds their records by id alone.

use std::fs;

use anyhow::Context;
use job::BatchId;

use crate::wiring::batches_directory;

/// Remembers where the batch's records lie. Losing this costs the user a `--out`, no more.
pub(crate) fn remember(batch: &BatchId, output: &str) {
    let directory = batches_directory();
    let write = || {
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(batch.as_str()), output)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "cannot remember the batch; `status` will need --out");
    }
}

/// The batch's `--out`.
pub(crate) fn recall(batch: &BatchId) -> anyhow::Result<String> {
    fs::read_to_string(batches_directory().join(batch.as_str())).with_context(|| {
        format!("batch {batch} was not submitted from here: name its prefix with --out")
    })
}
