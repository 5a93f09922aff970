//! Finds text that nobody said: Whisper writes some for music and tones.

use crate::recognizer::Hypothesis;

/// Mean log-probability below which text is a guess: a probability of 0.09 per token. Of 667 segments of real
/// speech, single letters among them, none is below 0.10 with whisper-tiny.en; a tone of 440 Hz becomes
/// "Thank you!" or "Hmmm..." with less.
const MIN_LOG_PROBABILITY: f32 = -2.4;
/// Nobody speaks as many characters a second. The fastest of these segments has 28; what Whisper writes for
/// music has hundreds.
const MAX_CHARACTERS_PER_SECOND: f64 = 60.0;
/// Words are found to the hundredth of a second at best, so that a short one may seem to take no time.
const MIN_SECONDS: f64 = 0.1;

/// Returns whether somebody may have said the text, judged by its probability and, if its words were found in
/// the audio, by the time that it takes.
pub(in crate::whisper) fn is_plausible(hypothesis: &Hypothesis) -> bool {
    let seconds = (hypothesis.end - hypothesis.start).max(MIN_SECONDS);
    let characters = hypothesis.text.chars().count() as f64;
    let speakable =
        hypothesis.words.is_empty() || characters <= MAX_CHARACTERS_PER_SECOND * seconds;
    hypothesis.log_probability >= MIN_LOG_PROBABILITY && speakable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognizer::Word;

    #[test]
    fn text_is_judged_by_probability_and_speed() {
        let text = "I'm not sure if I'm going to do it.";
        let plausible = |seconds: f64, log_probability: f32, timed: bool| {
            let word =
                Word { start: 0.0, end: seconds, text: text.to_owned(), log_probability: 0.0 };
            is_plausible(&Hypothesis {
                end: seconds,
                text: text.to_owned(),
                log_probability,
                words: if timed { vec![word] } else { Vec::new() },
                ..Hypothesis::default()
            })
        };
        assert!(plausible(2.0, -0.2, true) && plausible(0.6, -2.3, true));
        assert!(!plausible(0.0, -0.2, true) && !plausible(0.5, -0.2, true));
        // Without times, only the probability counts.
        assert!(plausible(0.0, -0.2, false) && !plausible(2.0, -2.5, false));
    }
}
