//! The results of windows, so that a transcription that was interrupted need not compute them again.

use std::fmt::Debug;

use audio::SAMPLE_RATE;
use serde::{Deserialize, Serialize};

use crate::{bits, recognizer::Hypothesis, speakers::Embedding};

/// Records the results of windows and recalls them in the next attempt at the same recording.
///
/// A journal belongs to one version of one recording and to one fingerprint: whoever sets it with
/// [`Session::set_journal`](super::Session::set_journal) makes sure that it recalls nothing else.
/// The pipeline calls it from its threads between windows, so it must answer from memory.
pub trait Journal: Debug + Send + Sync {
    /// Returns the result of a window if it was recorded. The pipeline asks once for each window.
    fn recall(&self, key: &WindowKey) -> Option<WindowResult>;

    /// Records the result of a window that was computed.
    fn record(&self, key: WindowKey, result: &WindowResult);
}

/// What the result of a window depends on, besides the recording and the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    /// Number of the audio track, counted from 1.
    pub(super) track: usize,
    /// Name and version of the program that decodes the recording instead of this one.
    pub(super) decoder: Option<String>,
    /// Number of channels that are transcribed one by one; 1 if they are mixed.
    pub(super) channels: usize,
    pub(super) channel: usize,
    /// Samples of the recording that the window consists of: start and end of each piece.
    pub(super) pieces: Vec<(u64, u64)>,
    /// Language that the recognizer is told.
    pub(super) language: Option<String>,
    pub(super) word_times: bool,
}

/// Result of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowResult {
    pub(super) hypotheses: Vec<Hypothesis>,
    /// Language spoken, from the options, or detected.
    pub(super) language: Option<String>,
    /// Language of the text.
    pub(super) text_language: Option<String>,
    pub(super) embeddings: Vec<Embedding>,
    /// CPU seconds that the recognizer took.
    #[serde(with = "bits::of_f64")]
    pub(super) recognize_seconds: f64,
    /// CPU seconds that the speaker embeddings took.
    #[serde(with = "bits::of_f64")]
    pub(super) speakers_seconds: f64,
}

impl WindowKey {
    /// Returns the seconds of audio in the window.
    pub fn audio_seconds(&self) -> f64 {
        let samples = self.pieces.iter().map(|(start, end)| end.saturating_sub(*start));
        samples.fold(0, u64::saturating_add) as f64 / f64::from(SAMPLE_RATE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recognizer::Word;

    fn result(text: &str, times: [u64; 6], numbers: &[u32]) -> WindowResult {
        let [start, end, word_start, word_end, recognize, speakers] = times.map(f64::from_bits);
        let vector: Vec<f32> = numbers.iter().copied().map(f32::from_bits).collect();
        let log_probability = vector.first().copied().unwrap_or(f32::NEG_INFINITY);
        let word =
            Word { start: word_start, end: word_end, text: text.to_owned(), log_probability };
        let hypothesis = Hypothesis {
            start,
            end,
            text: text.to_owned(),
            tokens: numbers.to_vec(),
            log_probability,
            no_speech_probability: numbers.get(1).copied().map(f32::from_bits),
            words: vec![word],
            emotion: numbers.is_empty().then(|| text.to_owned()),
            event: None,
        };
        WindowResult {
            hypotheses: vec![hypothesis],
            language: Some(text.to_owned()),
            text_language: None,
            embeddings: vec![Embedding { start: end, end: start, vector }],
            recognize_seconds: recognize,
            speakers_seconds: speakers,
        }
    }

    /// Returns all bits of a result: NaN is not equal to itself.
    fn bits(result: &WindowResult) -> (Vec<u64>, Vec<String>) {
        let mut bits = vec![result.recognize_seconds.to_bits(), result.speakers_seconds.to_bits()];
        let mut texts = vec![format!("{:?}{:?}", result.language, result.text_language)];
        for hypothesis in &result.hypotheses {
            bits.extend([hypothesis.start, hypothesis.end].map(f64::to_bits));
            bits.push(hypothesis.log_probability.to_bits().into());
            bits.extend(hypothesis.no_speech_probability.map(|p| u64::from(p.to_bits())));
            bits.extend(hypothesis.tokens.iter().map(|&token| u64::from(token)));
            texts.push(format!("{}{:?}", hypothesis.text, hypothesis.emotion));
            for word in &hypothesis.words {
                bits.extend([word.start.to_bits(), word.end.to_bits()]);
                bits.push(word.log_probability.to_bits().into());
                texts.push(word.text.clone());
            }
        }
        for embedding in &result.embeddings {
            bits.extend([embedding.start, embedding.end].map(f64::to_bits));
            bits.extend(embedding.vector.iter().map(|value| u64::from(value.to_bits())));
        }
        (bits, texts)
    }

    proptest! {
        /// All bit patterns, and so NaN, infinities and subnormal numbers.
        #[test]
        fn a_result_comes_back_bit_for_bit(
            text in any::<String>(),
            times in any::<[u64; 6]>(),
            numbers in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let written = result(&text, times, &numbers);
            let json = serde_json::to_string(&written).unwrap();
            let read: WindowResult = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(bits(&read), bits(&written));
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_can_be_read() {
        let result = result("a", [1; 6], &[1, 2]);
        let json = serde_json::to_string(&result).unwrap();
        let earlier = json.replace(r#""no_speech_probability":2,"#, "");
        assert_ne!(json, earlier);
        let read: WindowResult = serde_json::from_str(&earlier).unwrap();
        assert_eq!(read.hypotheses[0].no_speech_probability, None);
        assert_eq!(read.hypotheses[0].tokens, result.hypotheses[0].tokens);
    }

    #[test]
    fn a_vector_that_is_cut_is_an_error() {
        let json = serde_json::to_string(&result("a", [1; 6], &[1, 2])).unwrap();
        let cut = json.replace("0100000002000000", "01000000020000");
        assert_ne!(json, cut);
        assert!(serde_json::from_str::<WindowResult>(&cut).is_err());
    }

    #[test]
    fn a_key_knows_how_much_audio_it_stands_for() {
        let key = WindowKey {
            track: 1,
            decoder: None,
            channels: 1,
            channel: 0,
            pieces: vec![(0, 16_000), (32_000, 40_000)],
            language: None,
            word_times: true,
        };
        assert_eq!(key.audio_seconds(), 1.5);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<WindowKey>(&json).unwrap(), key);
        let hostile = WindowKey { pieces: vec![(9, 3), (0, u64::MAX), (0, u64::MAX)], ..key };
        assert!(hostile.audio_seconds().is_finite());
    }
}
