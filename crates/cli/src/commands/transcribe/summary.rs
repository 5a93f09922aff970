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
    /// Recordings, among those transcribed, in which nobody speaks.
    pub(super) without_speech: u64,
    pub(super) audio_seconds: f64,
    pub(super) wall_seconds: f64,
    /// CPU time of the work on recordings; loading the models does not count.
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

/// Formats seconds in the unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        0.0..59.95 => format!("{seconds:.1} s"),
        59.95..3599.5 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Formats a factor: small ones with one decimal.
fn rounded(factor: f64) -> String {
    if factor < 9.95 { format!("{factor:.1}") } else { format!("{factor:.0}") }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done + self.skipped + self.failures.total() == 0 && !self.interrupted {
            write!(f, "no recordings found: ")?;
        }
        write!(f, "{} transcribed", self.done)?;
        if self.without_speech > 0 && self.without_speech == self.done {
            write!(f, ", without speech")?;
        } else if self.without_speech > 0 {
            write!(f, " ({} without speech)", self.without_speech)?;
        }
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
        if self.done > 0 {
            write!(
                f,
                "; {} of audio in {}",
                duration(self.audio_seconds),
                duration(self.wall_seconds)
            )?;
        }
        // How fast silence is found says nothing about speech, and of nothing there is no speed.
        if self.done > self.without_speech && self.audio_seconds_per_core_second > 0.0 {
            let real_time = self.audio_seconds / self.wall_seconds.max(1e-3);
            write!(
                f,
                ": {}x real time, {} s of audio per core-second",
                rounded(real_time),
                rounded(self.audio_seconds_per_core_second),
            )?;
        }
        write!(f, "{}", self.failures)?;
        if self.interrupted {
            write!(f, "\ninterrupted; run the same command again to continue")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use job::{Failure, FailureCode};

    use super::*;

    fn summary(done: u64, without_speech: u64) -> Summary {
        Summary {
            done,
            without_speech,
            audio_seconds: 90.0,
            wall_seconds: 2.5,
            cpu_seconds: 3.75,
            audio_seconds_per_core_second: 24.0,
            ..Summary::default()
        }
    }

    #[test]
    fn states_speeds_of_speech_only() {
        assert_eq!(
            summary(2, 0).to_string(),
            "2 transcribed; 1.5 min of audio in 2.5 s: 36x real time, 24 s of audio per core-second"
        );
        assert_eq!(
            summary(2, 1).to_string(),
            "2 transcribed (1 without speech); 1.5 min of audio in 2.5 s: 36x real time, 24 s of audio \
             per core-second"
        );
        assert_eq!(
            summary(2, 2).to_string(),
            "2 transcribed, without speech; 1.5 min of audio in 2.5 s"
        );
    }

    #[test]
    fn states_no_speed_of_nothing() {
        let mut nothing = Summary { wall_seconds: 0.2, ..Summary::default() };
        nothing.failures.add(Failure {
            code: FailureCode::SourceMissing,
            source: "a.wav".to_owned(),
            message: "there is no such file".to_owned(),
        });
        let text = nothing.to_string();
        assert_eq!(text.lines().next(), Some("0 transcribed, 1 failed"), "{text}");
    }

    #[test]
    fn durations_and_factors_are_rounded() {
        for (seconds, text) in
            [(0.04, "0.0 s"), (59.9, "59.9 s"), (60.0, "1.0 min"), (5400.0, "1.5 h")]
        {
            assert_eq!(duration(seconds), text);
        }
        for (factor, text) in [(0.94, "0.9"), (9.96, "10"), (49.6, "50")] {
            assert_eq!(rounded(factor), text);
        }
    }
}
