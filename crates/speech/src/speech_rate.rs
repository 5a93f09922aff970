//! How fast people speak at most, to tell text that was made up from text that was said.

/// The fastest of 667 segments of real speech has 28 characters a second; what Whisper writes for music has
/// hundreds.
const MAX_CHARACTERS_PER_SECOND: f64 = 60.0;
/// Times of words are no more exact than this, in seconds, so that a short one may seem to take no time.
const MIN_SECONDS: f64 = 0.1;

/// Returns whether somebody can have spoken the text in this time.
pub(crate) fn is_speakable(text: &str, seconds: f64) -> bool {
    text.chars().count() as f64 <= MAX_CHARACTERS_PER_SECOND * seconds.max(MIN_SECONDS)
}
