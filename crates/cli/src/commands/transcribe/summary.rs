//! The summary of a run.

use std::fmt;

use serde::Serialize;

use super::failures::Failures;
use crate::{ignored::Ignored, naming::AllRenamed};

/// Counts, times and failures of one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) done: u64,
    pub(super) skipped: u64,
    /// Renderings that were edited, and are as they were.
    pub(super) kept: u64,
    #[serde(flatten)]
    pub(super) failures: Failures,
    #[serde(flatten)]
    pub(super) renamed: AllRenamed,
    #[serde(flatten)]
    pub(super) ignored: Ignored,
    pub(super) audio_seconds: f64,
    pub(super) wall_seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) audio_seconds_per_core_second: f64,
    pub(super) interrupted: bool,
}

impl Summary {
    /// Returns whether `--quiet` shows the summary.
    pub(super) fn is_bad(&self) -> bool {
        self.failures.total() > 0 || self.done + self.skipped == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done + self.skipped + self.failures.total() == 0 && !self.interrupted {
            write!(f, "no recordings found: ")?;
        }
        write!(f, "{} transcribed", self.done)?;
        for (count, what) in [
            (self.skipped, "up to date"),
            (self.failures.total(), "failed"),
            (self.kept, "edited renderings kept (--overwrite replaces them)"),
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
        write!(f, "{}", self.failures)?;
        if self.interrupted {
            write!(f, "\ninterrupted; run the same command again to continue")?;
        }
        Ok(())
    }
}
