//! Batches submitted from this machine, so that `status` needs only their id.

use std::{fs, path::PathBuf};

use anyhow::Context;
use job::BatchId;

/// Stores the batch's `--out`. If that fails, `status` needs `--out`, and nothing else is lost.
pub(crate) fn remember(batch: &BatchId, output: &str) {
    let directory = directory();
    let write = || {
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(batch.as_str()), output)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "cannot store the batch's location; `status` will need --out");
    }
}

/// Returns the batch's `--out`.
pub(crate) fn recall(batch: &BatchId) -> anyhow::Result<String> {
    fs::read_to_string(directory().join(batch.as_str())).with_context(|| {
        format!("batch {batch} was not submitted from this machine: give its prefix with --out")
    })
}

/// One file per batch.
fn directory() -> PathBuf {
    app::state_directory().join("batches")
}
