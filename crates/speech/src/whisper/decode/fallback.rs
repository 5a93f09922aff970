//! Decodes one window, and repeats it at higher temperatures while the result is rejected.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::{
    Candidate, Decoder, Rules,
    beam::{Width, beam_search},
    probability,
    sample::sample,
};
use crate::{recognizer::Error, whisper::options::WhisperOptions};

/// Parameters of decoding. Follows faster-whisper's `generate_with_fallback`.
pub(in crate::whisper) struct Decoding<'a> {
    pub(in crate::whisper) options: &'a WhisperOptions,
    pub(in crate::whisper) rules: &'a Rules,
    /// The token `<|nospeech|>`, for models that have it.
    pub(in crate::whisper) no_speech: Option<u32>,
    /// Number of positions of the decoder.
    pub(in crate::whisper) text_context: usize,
    /// Decodes tokens to text.
    pub(in crate::whisper) text: &'a dyn Fn(&[u32]) -> String,
}

/// Result of decoding one window at one temperature.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::whisper) struct Attempt {
    pub(in crate::whisper) candidate: Candidate,
    pub(in crate::whisper) temperature: f32,
    pub(in crate::whisper) mean_log_probability: f32,
    pub(in crate::whisper) compression_ratio: f32,
    /// `None` for models without `<|nospeech|>`.
    pub(in crate::whisper) no_speech_probability: Option<f32>,
}

impl Decoding<'_> {
    /// Decodes one window. The last `header` tokens of `prompt` are those from the start of the
    /// transcript on. `start` creates a decoder for each temperature.
    pub(in crate::whisper) fn decode<D: Decoder>(
        &self,
        start: impl Fn() -> D,
        prompt: &[u32],
        header: usize,
        seed: u64,
    ) -> Result<Attempt, Error> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut logits = Vec::new();
        for &temperature in &self.options.temperatures {
            let attempt =
                self.attempt(&mut start(), prompt, header, temperature, seed, &mut logits)?;
            if self.is_silence(&attempt) || !self.is_rejected(&attempt) {
                return Ok(attempt);
            }
            attempts.push(attempt);
        }
        let temperature = self.options.temperatures.last().copied().unwrap_or_default();
        // All attempts were rejected. Take the most probable one, if possible one without a loop.
        let any_without_loop = attempts.iter().any(|attempt| !self.is_loop(attempt));
        attempts
            .into_iter()
            .filter(|attempt| !any_without_loop || !self.is_loop(attempt))
            .reduce(|best, other| {
                let better = other.mean_log_probability > best.mean_log_probability;
                if better { other } else { best }
            })
            .map(|attempt| Attempt { temperature, ..attempt })
            .ok_or_else(|| Error::Network("no temperature to decode at".into()))
    }

    /// Returns whether the window is silent, whatever its text is.
    pub(in crate::whisper) fn is_silence(&self, attempt: &Attempt) -> bool {
        attempt.no_speech_probability.is_some_and(|p| p > self.options.no_speech_threshold)
            && attempt.mean_log_probability < self.options.log_probability_threshold
    }

    fn is_rejected(&self, attempt: &Attempt) -> bool {
        self.is_loop(attempt)
            || attempt.mean_log_probability < self.options.log_probability_threshold
    }

    /// Returns whether the text repeats itself.
    fn is_loop(&self, attempt: &Attempt) -> bool {
        attempt.compression_ratio > self.options.compression_ratio_threshold
    }

    fn attempt(
        &self,
        decoder: &mut impl Decoder,
        prompt: &[u32],
        header: usize,
        temperature: f32,
        seed: u64,
        logits: &mut Vec<f32>,
    ) -> Result<Attempt, Error> {
        // The probability of no speech is read after the start of the transcript.
        let (before, after) = prompt.split_at((prompt.len() + 1).saturating_sub(header));
        decoder.step(before, logits)?;
        let no_speech_probability = self.no_speech.map(|no_speech| probability(logits, no_speech));
        if !after.is_empty() {
            decoder.step(after, logits)?;
        }

        let context = self.text_context;
        let limit = self
            .options
            .max_new_tokens
            .min(context / 2)
            .min(context.saturating_sub(prompt.len()))
            .max(1);
        let WhisperOptions { beam_size, patience, length_penalty, best_of, .. } = *self.options;
        let candidate = if temperature > 0.0 || beam_size == 1 {
            sample(decoder, logits, self.rules, temperature, best_of, limit, seed)?
                .into_iter()
                .reduce(|best, other| {
                    let better = other.score(length_penalty) > best.score(length_penalty);
                    if better { other } else { best }
                })
                .unwrap_or_default()
        } else {
            let width = Width { beams: beam_size, patience, length_penalty };
            beam_search(decoder, logits, self.rules, width, limit)?
        };
        Ok(Attempt {
            temperature,
            mean_log_probability: candidate.mean_log_probability(),
            compression_ratio: compression_ratio((self.text)(&candidate.tokens).trim()),
            no_speech_probability,
            candidate,
        })
    }
}

/// Returns the factor by which zlib compresses `text`, or 0 if it is empty.
fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector does not fail; if it did, the text would count as incompressible.
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.map_or(0.0, |bytes| text.len() as f32 / bytes.len() as f32)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::whisper::decode::script::{self, END, Script};

    fn text(tokens: &[u32]) -> String {
        tokens
            .iter()
            .filter(|&&token| token < END)
            .map(|token| ["zero ", "one ", "two ", "three ", "four "][*token as usize % 5])
            .collect()
    }

    /// Decodes with `choices`. Returns the result, the number of decoders started, and whether the
    /// window is silent.
    fn decode(
        options: &WhisperOptions,
        prompt: &[u32],
        choices: impl Fn(&[u32]) -> Vec<(u32, f32)>,
    ) -> (Attempt, usize, bool) {
        let rules = script::rules();
        let decoding = Decoding {
            options,
            rules: &rules,
            no_speech: Some(script::NO_SPEECH),
            text_context: 100,
            text: &text,
        };
        let started = RefCell::new(0);
        let start = || {
            *started.borrow_mut() += 1;
            Script::new(&choices)
        };
        let header = prompt.len() - prompt.iter().position(|&t| t == script::START).unwrap();
        let attempt = decoding.decode(start, prompt, header, 1).unwrap();
        let silence = decoding.is_silence(&attempt);
        (attempt, started.into_inner(), silence)
    }

    fn sure(history: &[u32]) -> Vec<(u32, f32)> {
        match history {
            [] => vec![(20, 0.5), (script::NO_SPEECH, 0.5)],
            [20] => vec![(1, 1.0)],
            [20, 1] => vec![(2, 1.0)],
            [20, 1, 2] => vec![(25, 1.0)],
            _ => vec![(END, 1.0)],
        }
    }

    #[test]
    fn a_good_result_is_accepted_at_once() {
        for beam_size in [1, 3] {
            let options = WhisperOptions { beam_size, ..WhisperOptions::default() };
            let (attempt, started, silence) = decode(&options, &[script::START], sure);
            assert_eq!(attempt.candidate.tokens, [20, 1, 2, 25]);
            assert_eq!((started, attempt.temperature, silence), (1, 0.0, false));
            assert!((attempt.no_speech_probability.unwrap() - 0.5).abs() < 1e-5);
            assert!(
                attempt.mean_log_probability.abs() < 1e-4,
                "probabilities are among the allowed tokens"
            );
        }
    }

    #[test]
    fn no_speech_probability_is_read_at_the_start_token_of_a_longer_prompt() {
        let choices = |history: &[u32]| match history {
            [] => vec![(1, 0.25), (script::NO_SPEECH, 0.75)],
            [2, 3] => vec![(20, 1.0)],
            [2, 3, 20] => vec![(1, 1.0)],
            [2, 3, 20, 1] => vec![(25, 1.0)],
            _ => vec![(END, 1.0)],
        };
        let prompt = [7, 8, script::START, 2, 3];
        let (attempt, ..) = decode(&WhisperOptions::default(), &prompt, choices);
        assert_eq!(attempt.candidate.tokens, [20, 1, 25]);
        assert!((attempt.no_speech_probability.unwrap() - 0.75).abs() < 1e-5);
    }

    #[test]
    fn a_loop_is_retried_at_higher_temperatures() {
        // Greedy search repeats 1 2 forever, while a sample ends at some point.
        let choices = |history: &[u32]| match history {
            [] => vec![(20, 1.0)],
            [.., 1] => vec![(2, 0.6), (25, 0.4)],
            [.., 25] => vec![(END, 1.0)],
            _ => vec![(1, 0.9), (3, 0.1)],
        };
        let (attempt, started, _) = decode(&WhisperOptions::default(), &[script::START], choices);
        assert!(started > 1 && attempt.temperature > 0.0);
        assert!(attempt.compression_ratio <= 2.4, "{attempt:?}");

        let only_greedy = WhisperOptions { temperatures: vec![0.0], ..WhisperOptions::default() };
        let (attempt, started, _) = decode(&only_greedy, &[script::START], choices);
        assert!(started == 1 && attempt.compression_ratio > 2.4, "{attempt:?}");
    }

    fn unsure(no_speech: f32) -> impl Fn(&[u32]) -> Vec<(u32, f32)> {
        move |history: &[u32]| match history {
            [] => vec![(20, 1.0 - no_speech), (script::NO_SPEECH, no_speech)],
            [20] => (1..10).map(|token| (token, 1.0 / 9.0)).collect(),
            [20, _] => (1..10).map(|token| (token, 1.0 / 9.0)).collect(),
            [20, _, _] => vec![(25, 1.0)],
            _ => vec![(END, 1.0)],
        }
    }

    #[test]
    fn an_improbable_result_is_retried_at_every_temperature() {
        let options =
            WhisperOptions { log_probability_threshold: -0.5, ..WhisperOptions::default() };
        let (attempt, started, silence) = decode(&options, &[script::START], unsure(0.1));
        assert_eq!((started, silence), (6, false));
        assert_eq!(attempt.temperature, 1.0);
    }

    #[test]
    fn an_improbable_result_without_speech_is_silence() {
        let options =
            WhisperOptions { log_probability_threshold: -0.5, ..WhisperOptions::default() };
        let (_, started, silence) = decode(&options, &[script::START], unsure(0.9));
        assert_eq!((started, silence), (1, true));
    }

    /// The expected values are Python's `len(text) / len(zlib.compress(text))`. Its zlib compresses a
    /// little better.
    #[test]
    fn compression_ratio_is_nearly_pythons() {
        assert_eq!(compression_ratio(""), 0.0);
        for (text, expected) in [
            ("you", 3.0 / 11.0),
            ("He was not an old-sposed young man.", 35.0 / 43.0),
            (&"I'm going to go to the next room. ".repeat(14), 476.0 / 44.0),
        ] {
            let got = compression_ratio(text);
            assert!((got / expected - 1.0).abs() < 0.08, "{text}: {got}, not {expected}");
        }
    }
}
