//! The summary of a run.

use std::fmt;

use errors::printable;
use job::Failure;
use serde::Serialize;

use crate::{ignored::Ignored, naming::AllRenamed};

/// Maximum number of failures repeated at the end; each was printed when it happened.
const MAX_LISTED_FAILURES: usize = 100;

/// Counts, times and failures of one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) done: u64,
    pub(super) skipped: u64,
    pub(super) failed: u64,
    #[serde(flatten)]
    pub(super) renamed: AllRenamed,
    #[serde(flatten)]
    pub(super) ignored: Ignored,
    pub(super) audio_seconds: f64,
    pub(super) wall_seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) audio_seconds_per_core_second: f64,
    pub(super) interrupted: bool,
    failures: Vec<ListedFailure>,
}

/// A failure as it is listed at the end.
#[derive(Debug, Serialize)]
struct ListedFailure {
    #[serde(flatten)]
    failure: Failure,
    remedy: &'static str,
}

impl Summary {
    pub(super) fn add_failure(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < MAX_LISTED_FAILURES {
            self.failures.push(ListedFailure { remedy: failure.code.remedy(), failure });
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done + self.skipped + self.failed == 0 && !self.interrupted {
            write!(f, "no recordings found: ")?;
        }
        write!(f, "{} transcribed", self.done)?;
        for (count, what) in [
            (self.skipped, "up to date"),
            (self.failed, "failed"),
            (self.renamed.total(), "with another name than asked for, see above"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(f, "{}", self.ignored)?;
        write!(
            f,
            "; {:.2} h of audio in {:.1} s: {:.1}x real time, {:.1}x per core",
            self.audio_seconds / 3600.0,
            self.wall_seconds,
            self.audio_seconds / self.wall_seconds.max(1e-3),
            self.audio_seconds_per_core_second,
        )?;
        for ListedFailure { failure, remedy } in &self.failures {
            // Names of others must not forge lines.
            let (source, failure) = (printable(&failure.source), failure.to_string());
            write!(f, "\n  {source}\n    {}\n    {remedy}", printable(&failure))?;
        }
        if self.failed > self.failures.len() as u64 {
            write!(f, "\n  and {} more, see above", self.failed - self.failures.len() as u64)?;
        }
        if self.interrupted {
            write!(f, "\ninterrupted; run the same command again to continue")?;
        }
        Ok(())
    }
}
