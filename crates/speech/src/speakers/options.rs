//! Options of speaker diarization.

use std::{ops::RangeInclusive, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::voices::VoicePrints;

/// Maximum number of speakers that diarization can be asked for.
pub const MAX_SPEAKERS: usize = 64;
const STEP_SECONDS: RangeInclusive<f64> = 0.5..=5.0;

/// Configuration of diarization: the section `[speakers]` of the configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeakersConfig {
    /// Seconds from one chunk of 10 s to the next, in which a segmentation network listens (0.5 to 5). Shorter steps are
    /// more accurate and cost more.
    #[serde(deserialize_with = "step_seconds")]
    pub step_seconds: f64,
}

impl Default for SpeakersConfig {
    fn default() -> Self {
        Self { step_seconds: 2.5 }
    }
}

fn step_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if STEP_SECONDS.contains(&seconds) {
        return Ok(seconds);
    }
    let (min, max) = (STEP_SECONDS.start(), STEP_SECONDS.end());
    Err(D::Error::custom(format!("{seconds} seconds are not between {min} and {max}")))
}

/// Number of speakers of a recording, and who they may be. The number is estimated, and set only where the estimate is
/// outside of these bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpeakerOptions {
    /// Exact number of speakers; excludes `min` and `max`.
    pub count: Option<usize>,
    /// Minimum number of speakers, if the recording has enough speech.
    pub min: Option<usize>,
    /// Maximum number of speakers; [`MAX_SPEAKERS`] by default.
    pub max: Option<usize>,
    /// Known voices: speakers who have one of them get its name.
    pub voices: Option<Arc<VoicePrints>>,
}

impl SpeakerOptions {
    /// Checks the numbers of speakers.
    ///
    /// # Errors
    /// Describes numbers that are out of range or contradict each other.
    pub fn check(&self) -> Result<(), String> {
        let Self { count, min, max, .. } = *self;
        if [count, min, max].into_iter().flatten().any(|n| !(1..=MAX_SPEAKERS).contains(&n)) {
            return Err(format!("numbers of speakers must be from 1 to {MAX_SPEAKERS}"));
        }
        if count.is_some() && (min.is_some() || max.is_some()) {
            return Err("speakers: `count` excludes `min` and `max`".to_owned());
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("at least {min} and at most {max} speakers contradict each other"));
        }
        Ok(())
    }

    /// Returns the minimum and maximum number of speakers to find among this many windows (at least one).
    pub(super) fn bounds(&self, windows: usize) -> (usize, usize) {
        let min = self.count.or(self.min).unwrap_or(1);
        let max = self.count.or(self.max).unwrap_or(MAX_SPEAKERS);
        let max = max.clamp(1, windows);
        (min.clamp(1, max), max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_contradictory_numbers() {
        let options = |count, min, max| SpeakerOptions { count, min, max, voices: None };
        for (options, cause) in [
            (options(Some(0), None, None), "from 1 to 64"),
            (options(None, None, Some(65)), "from 1 to 64"),
            (options(None, Some(3), Some(2)), "at least 3 and at most 2"),
            (options(Some(2), None, Some(3)), "excludes"),
        ] {
            let message = options.check().expect_err(cause);
            assert!(message.contains(cause), "{message}");
        }
        for options in [SpeakerOptions::default(), options(None, Some(2), Some(2))] {
            options.check().expect("valid options");
        }
    }

    #[test]
    fn bounds_are_limited_by_the_number_of_windows() {
        let options = |count, min, max| SpeakerOptions { count, min, max, voices: None };
        for (options, windows, bounds) in [
            (options(None, None, None), 100, (1, 64)),
            (options(None, None, None), 3, (1, 3)),
            (options(None, Some(20), None), 100, (20, 64)),
            (options(None, Some(4), Some(9)), 6, (4, 6)),
            (options(None, Some(4), Some(9)), 2, (2, 2)),
            (options(Some(5), None, None), 100, (5, 5)),
            (options(Some(5), None, None), 1, (1, 1)),
            // Unchecked options do not panic.
            (options(None, Some(9), Some(2)), 100, (2, 2)),
            (options(Some(0), None, Some(0)), 100, (1, 1)),
        ] {
            assert_eq!(options.bounds(windows), bounds, "{options:?} of {windows}");
        }
    }
}
