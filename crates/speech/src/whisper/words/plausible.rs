//! Finds text that nobody said: Whisper writes some for music and tones.

use crate::{recognizer::Hypothesis, speech_rate::is_speakable};

/// Mean log-probability below which text is a guess: a probability of 0.09 per token. Of 667 segments of real
/// speech, single letters among them, none is below 0.10 with whisper-tiny.en; a tone of 440 Hz becomes
/// "Thank you!" or "Hmmm..." with less.
const MIN_LOG_PROBABILITY: f32 = -2.4;
/// Returns whether somebody may have said the text, judged by its probability and, if its words were found in
/// the audio, by the time that it takes.
pub(in crate::whisper) fn is_plausible(hypothesis: &Hypothesis) -> bool {
    let seconds = hypothesis.end - hypothesis.start;
    hypothesis.log_probability >= MIN_LOG_PROBABILITY
        && (hypothesis.words.is_empty() || is_speakable(&hypothesis.text, seconds))
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
