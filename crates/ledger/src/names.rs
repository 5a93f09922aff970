//! Names of a batch's records:
//!
//! ```text
//! <output>/.scriptorium/<batch>/batch.json
//!                               control.json                       (if paused or cancelled)
//!                               submission/<submission>.json
//!                               submission/<submission>.progress
//!                               manifest/<submission>-<part>.jsonl
//!                               tally/<worker>.json
//!                               running/<job>
//!                               done/<job>
//!                               failed/<job>.json                  (generation 0)
//!                               failed/<job>.<generation>.json
//!                               resubmitted/<job>.<generation>
//!                               notification/<submission>.json
//!                               checkpoint/<job>.<writer>-<sequence>.jsonl
//! ```
//!
//! `<job>` is the job's key ([`Job::key`]): its id may be any text. A listing of names says how many jobs are in
//! which state, without reading any record.

use job::{BatchId, Job, records_prefix};
use location::Location;

/// Names of the records of one batch, as URIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    /// Returns the names for the batch of a job.
    pub(crate) fn of(job: &Job) -> Self {
        Self { prefix: job.records_prefix() }
    }

    /// Returns the names for the batch whose records have this prefix ([`Job::records_prefix`]).
    pub(crate) fn at(records: &str) -> Self {
        Self { prefix: records.to_owned() }
    }

    /// Returns the names for a batch whose transcripts have the prefix `output`.
    pub(crate) fn under(output: &Location, batch: &BatchId) -> Self {
        Self { prefix: records_prefix(&output.to_string(), batch) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn batch(&self) -> String {
        format!("{}/batch.json", self.prefix)
    }

    pub(crate) fn control(&self) -> String {
        format!("{}/control.json", self.prefix)
    }

    /// Returns the name of the record of a submission.
    pub(crate) fn submission(&self, submission: &str) -> String {
        format!("{}{submission}.json", self.submissions())
    }

    /// Returns the name of the record of how far a submission has published.
    pub(crate) fn progress(&self, submission: &str) -> String {
        format!("{}{submission}.progress", self.submissions())
    }

    /// Returns the prefix of the records of all submissions.
    pub(crate) fn submissions(&self) -> String {
        format!("{}/submission/", self.prefix)
    }

    /// Returns the name of the record of who was told that the batch is over.
    pub(crate) fn notification(&self, submission: &str) -> String {
        format!("{}{submission}.json", self.notifications())
    }

    pub(crate) fn notifications(&self) -> String {
        format!("{}/notification/", self.prefix)
    }

    /// Returns the name of one part of the list of jobs of a submission.
    pub(crate) fn manifest(&self, submission: &str, part: u32) -> String {
        format!("{}{part:06}.jsonl", self.manifest_prefix(submission))
    }

    /// Returns what the names of all parts of a submission begin with.
    pub(crate) fn manifest_prefix(&self, submission: &str) -> String {
        format!("{}{submission}-", self.manifests())
    }

    /// Returns the prefix of all manifests.
    pub(crate) fn manifests(&self) -> String {
        format!("{}/manifest/", self.prefix)
    }

    /// Returns the name of the tally of one worker process.
    pub(crate) fn tally(&self, worker: &str) -> String {
        format!("{}{worker}.json", self.all_tallies())
    }

    pub(crate) fn all_tallies(&self) -> String {
        format!("{}/tally/", self.prefix)
    }

    pub(crate) fn running(&self, job: &str) -> String {
        format!("{}{job}", self.all_running())
    }

    pub(crate) fn all_running(&self) -> String {
        format!("{}/running/", self.prefix)
    }

    pub(crate) fn done(&self, job: &str) -> String {
        format!("{}{job}", self.all_done())
    }

    pub(crate) fn all_done(&self) -> String {
        format!("{}/done/", self.prefix)
    }

    pub(crate) fn failed(&self, job: &str, generation: u32) -> String {
        match generation {
            // The only name that the first version of the records had.
            0 => format!("{}{job}.json", self.all_failed()),
            _ => format!("{}{job}.{generation}.json", self.all_failed()),
        }
    }

    pub(crate) fn all_failed(&self) -> String {
        format!("{}/failed/", self.prefix)
    }

    pub(crate) fn resubmitted(&self, job: &str, generation: u32) -> String {
        format!("{}{job}.{generation}", self.all_resubmitted())
    }

    /// Returns the name of a checkpoint. All of a batch lie in one folder, so that a file
    /// system is not left with an empty one for each job.
    pub(crate) fn checkpoint(&self, job: &str, writer: &str, sequence: u32) -> String {
        format!("{}{writer}-{sequence:06}.jsonl", self.checkpoints(job))
    }

    /// Returns the prefix of the checkpoints of a job.
    pub(crate) fn checkpoints(&self, job: &str) -> String {
        format!("{}/checkpoint/{job}.", self.prefix)
    }

    pub(crate) fn all_resubmitted(&self) -> String {
        format!("{}/resubmitted/", self.prefix)
    }
}

/// Returns the job and the generation that the key of a record in one of the listed states names.
pub(crate) fn parse(key: &str) -> (&str, u32) {
    let name = key.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    match name.split_once('.') {
        Some((job, generation)) => (job, generation.parse().unwrap_or(0)),
        None => (name, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_as_they_are_formed() {
        let output: Location = "s3://b/out".parse().unwrap();
        let batch = BatchId::generate();
        let names = Names::under(&output, &batch);
        assert_eq!(names.prefix(), format!("s3://b/out/.scriptorium/{batch}"));
        for (name, expected) in [
            (names.running("j"), ("j", 0)),
            (names.done("j"), ("j", 0)),
            (names.failed("j", 0), ("j", 0)),
            (names.failed("j", 12), ("j", 12)),
            (names.resubmitted("j", 3), ("j", 3)),
        ] {
            assert_eq!(parse(&name), expected, "{name}");
        }
    }
}
