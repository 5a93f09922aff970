//! What is known, and asked, of a recording's speakers.

use serde::{Deserialize, Serialize};

/// More speakers than this nobody tells apart.
pub const MOST_SPEAKERS: usize = 64;
/// As many as FunASR looks for, where nobody says.
const USUAL_MOST: usize = 15;

/// How many speakers there are, and how to tell them apart; what is `None` is estimated.
///
/// Deserializing refuses what makes no sense.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct SpeakerOptions {
    /// Exactly so many; then `min` and `max` have nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// At least so many, where the recording has enough speech.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<usize>,
    /// At most so many: 15 in FunASR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    pub method: Method,
}

/// How embeddings become speakers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// As FunASR: right for a few speakers who speak for minutes.
    #[default]
    Spectral,
    /// Average linkage: makes no assumption on the number of speakers, and finds those who say
    /// little.
    Agglomerative,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Unchecked {
    count: Option<usize>,
    min: Option<usize>,
    max: Option<usize>,
    method: Method,
}

impl TryFrom<Unchecked> for SpeakerOptions {
    type Error = String;

    fn try_from(Unchecked { count, min, max, method }: Unchecked) -> Result<Self, String> {
        let options = Self { count, min, max, method };
        options.check()?;
        Ok(options)
    }
}

impl SpeakerOptions {
    /// # Errors
    /// Says which numbers make no sense.
    pub fn check(&self) -> Result<(), String> {
        let Self { count, min, max, .. } = *self;
        if [count, min, max].into_iter().flatten().any(|n| !(1..=MOST_SPEAKERS).contains(&n)) {
            return Err(format!("numbers of speakers go from 1 to {MOST_SPEAKERS}"));
        }
        if count.is_some() && (min.is_some() || max.is_some()) {
            return Err("speakers: `count` leaves nothing to `min` and `max`".to_owned());
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("at least {min} and at most {max} speakers contradict each other"));
        }
        Ok(())
    }

    /// The least and the most speakers to find among `embeddings`, which are not 0.
    pub(super) fn bounds(&self, embeddings: usize) -> (usize, usize) {
        let min = self.count.or(self.min).unwrap_or(1);
        let max = self.count.or(self.max).unwrap_or(USUAL_MOST.max(min));
        let max = max.clamp(1, embeddings);
        (min.clamp(1, max), max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<SpeakerOptions, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn nonsense_is_refused() {
        for (json, cause) in [
            (r#"{"count": 0}"#, "from 1 to 64"),
            (r#"{"max": 65}"#, "from 1 to 64"),
            (r#"{"min": 3, "max": 2}"#, "at least 3 and at most 2"),
            (r#"{"count": 2, "max": 3}"#, "leaves nothing"),
            (r#"{"counts": 2}"#, "unknown field `counts`"),
            (r#"{"method": "magic"}"#, "magic"),
        ] {
            let message = parse(json).expect_err(json);
            assert!(message.contains(cause), "{message}");
        }
        assert_eq!(parse("{}"), Ok(SpeakerOptions::default()));
        let options = parse(r#"{"min": 2, "method": "agglomerative"}"#).expect("options");
        assert_eq!((options.min, options.method), (Some(2), Method::Agglomerative));
    }

    #[test]
    fn bounds_fit_the_embeddings() {
        let options = |count, min, max| SpeakerOptions { count, min, max, ..Default::default() };
        for (options, embeddings, bounds) in [
            (options(None, None, None), 100, (1, 15)),
            (options(None, None, None), 3, (1, 3)),
            (options(None, Some(20), None), 100, (20, 20)),
            (options(None, Some(4), Some(9)), 6, (4, 6)),
            (options(None, Some(4), Some(9)), 2, (2, 2)),
            (options(Some(5), None, None), 100, (5, 5)),
            (options(Some(5), None, None), 1, (1, 1)),
            // Never checked, yet no panic.
            (options(None, Some(9), Some(2)), 100, (2, 2)),
            (options(Some(0), None, Some(0)), 100, (1, 1)),
        ] {
            assert_eq!(options.bounds(embeddings), bounds, "{options:?} of {embeddings}");
        }
    }
}
