//! The readers of what comes back from the store, which others may have written, for the fuzzers.

use bytes::Bytes;
use job::{ManifestJob, PartEnd};

use crate::{
    BatchControl, CheckpointInput, Counted, Error, checkpoint, control::ControlRecord, manifest,
    names, progress, records, state,
};

/// Returns the windows of a checkpoint, or why it is of no use.
///
/// # Errors
///
/// The reason.
pub fn checkpoint(input: &CheckpointInput, body: &Bytes) -> Result<Vec<Bytes>, String> {
    checkpoint::decode(input, body)
}

/// Returns the content of a checkpoint.
///
/// # Errors
///
/// The header cannot be written.
pub fn write_checkpoint(
    input: &CheckpointInput,
    windows: &[Bytes],
) -> Result<Vec<u8>, serde_json::Error> {
    checkpoint::encode(input, windows)
}

/// Reads a part of a manifest.
///
/// # Errors
///
/// [`Error::Invalid`].
pub fn part(body: &[u8]) -> Result<(Vec<ManifestJob>, Option<PartEnd>), Error> {
    manifest::parse("part", body)
}

/// Returns the content of a part of a manifest.
pub fn write_part(jobs: &[ManifestJob], end: &PartEnd) -> Bytes {
    let mut part = manifest::Part::default();
    jobs.iter().for_each(|job| part.add(job));
    part.finish(end)
}

/// Reads the record by which a batch is paused or cancelled.
///
/// # Errors
///
/// [`Error::Invalid`].
pub fn control(body: &[u8]) -> Result<BatchControl, Error> {
    records::parse::<ControlRecord>("control.json", body).map(|record| record.state)
}

/// Returns the job and the generation that the key of a record names, and the number of the job.
pub fn name(key: &str) -> (&str, u32, Option<u128>) {
    let (job, generation) = names::parse(key);
    (job, generation, state::number_of(job))
}

/// Returns the id of the job with this number.
pub fn id_of(number: u128) -> String {
    state::id_of(number)
}

/// Returns the progress of a batch from tallies and a correction.
///
/// # Errors
///
/// [`Error::Invalid`].
pub fn progress(tallies: &[&[u8]], correction: Option<&[u8]>) -> Result<Counted, Error> {
    progress::of_tallies(tallies, correction)
}
