//! The results of tasks, so that a transcription that was interrupted need not compute them again.

use std::fmt::Debug;

use audio::SAMPLE_RATE;
use serde::{Deserialize, Serialize};

use crate::{bits, recognizer::Hypothesis, speakers};

/// Records the results of tasks and recalls them in the next attempt at the same recording.
///
/// A journal belongs to one version of one recording and to one fingerprint: whoever sets it with
/// [`Session::set_journal`](super::Session::set_journal) makes sure that it recalls nothing else.
/// The pipeline calls it from its threads between tasks, so it must answer from memory.
pub trait Journal: Debug + Send + Sync {
    /// Returns the result of a task if it was recorded. The pipeline asks once for each task.
    fn recall(&self, key: &TaskKey) -> Option<TaskResult>;

    /// Records the result of a task that was computed.
    fn record(&self, key: TaskKey, result: &TaskResult);
}

/// What the result of a task depends on, besides the recording and the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Number of the audio track, counted from 1.
    pub(super) track: usize,
    /// Name and version of the program that decodes the recording instead of this one.
    pub(super) decoder: Option<String>,
    /// Number of channels that are transcribed one by one; 1 if they are mixed.
    pub(super) channels: usize,
    pub(super) channel: usize,
    pub(super) input: TaskInput,
}

/// What a task computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum TaskInput {
    /// Recognition of a window.
    Window {
        /// Samples of the recording that the window consists of: start and end of each piece.
        pieces: Vec<(u64, u64)>,
        /// Language that the recognizer is told.
        language: Option<String>,
        word_times: bool,
    },
    /// A part of the diarization.
    Speakers(speakers::WorkKey),
}

/// Result of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub(super) output: TaskOutput,
    /// CPU seconds that it took.
    #[serde(with = "bits::of_f64")]
    pub(super) seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum TaskOutput {
    Window(WindowResult),
    Speakers(speakers::WorkResult),
}

/// What was recognized in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WindowResult {
    pub(super) hypotheses: Vec<Hypothesis>,
    /// Language spoken, from the options, or detected.
    pub(super) language: Option<String>,
    /// Language of the text.
    pub(super) text_language: Option<String>,
}

impl TaskKey {
    /// Returns the seconds of audio that the task recognizes; 0 if it does something else.
    pub fn audio_seconds(&self) -> f64 {
        let TaskInput::Window { pieces, .. } = &self.input else { return 0.0 };
        let samples = pieces.iter().map(|(start, end)| end.saturating_sub(*start));
        samples.fold(0, u64::saturating_add) as f64 / f64::from(SAMPLE_RATE)
    }

    /// Returns whether a result has the form that this task has: journals come from outside.
    pub(super) fn fits(&self, result: &TaskResult) -> bool {
        match (&self.input, &result.output) {
            (TaskInput::Window { .. }, TaskOutput::Window(_)) => true,
            (TaskInput::Speakers(key), TaskOutput::Speakers(result)) => key.fits(result),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recognizer::Word;

    fn result(text: &str, times: [u64; 5], numbers: &[u32]) -> TaskResult {
        let [start, end, word_start, word_end, seconds] = times.map(f64::from_bits);
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
        let window = WindowResult {
            hypotheses: vec![hypothesis],
            language: Some(text.to_owned()),
            text_language: None,
        };
        TaskResult { output: TaskOutput::Window(window), seconds }
    }

    fn window(result: &TaskResult) -> &WindowResult {
        match &result.output {
            TaskOutput::Window(window) => window,
            TaskOutput::Speakers(_) => panic!("not a window"),
        }
    }

    /// Returns all bits of a result: NaN is not equal to itself.
    fn bits(result: &TaskResult) -> (Vec<u64>, Vec<String>) {
        let mut bits = vec![result.seconds.to_bits()];
        let result = window(result);
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
        (bits, texts)
    }

    proptest! {
        /// All bit patterns, and so NaN, infinities and subnormal numbers.
        #[test]
        fn a_result_comes_back_bit_for_bit(
            text in any::<String>(),
            times in any::<[u64; 5]>(),
            numbers in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let written = result(&text, times, &numbers);
            let json = serde_json::to_string(&written).unwrap();
            let read: TaskResult = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(bits(&read), bits(&written));
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_can_be_read() {
        let result = result("a", [1; 5], &[1, 2]);
        let json = serde_json::to_string(&result).unwrap();
        let earlier = json.replace(r#""no_speech_probability":2,"#, "");
        assert_ne!(json, earlier);
        let read: TaskResult = serde_json::from_str(&earlier).unwrap();
        assert_eq!(window(&read).hypotheses[0].no_speech_probability, None);
        assert_eq!(window(&read).hypotheses[0].tokens, window(&result).hypotheses[0].tokens);
    }

    #[test]
    fn results_of_speakers_come_back_and_torn_ones_do_not() {
        let vectors = [0.25f32, f32::NAN, -1.0, 7e-7].map(half::f16::from_f32).to_vec();
        let voices = speakers::WorkResult::Windows { width: 2, vectors: vectors.clone() };
        let result = TaskResult { output: TaskOutput::Speakers(voices), seconds: 0.5 };
        let json = serde_json::to_string(&result).unwrap();
        let read: TaskResult = serde_json::from_str(&json).unwrap();
        let TaskOutput::Speakers(speakers::WorkResult::Windows { width, vectors: read }) =
            read.output
        else {
            panic!("another kind");
        };
        let bits = |values: &[half::f16]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((width, bits(&read)), (2, bits(&vectors)));
        let chunks = speakers::WorkResult::Chunks { frames: vec![0, 255, 17] };
        let chunks = TaskResult { output: TaskOutput::Speakers(chunks), seconds: 0.0 };
        let text = serde_json::to_string(&chunks).unwrap();
        assert_eq!(serde_json::from_str::<TaskResult>(&text).unwrap(), chunks);
        for torn in [json.replace("0034", "003"), text.replace("00ff11", "00ff1")] {
            assert!(torn != json && torn != text);
            assert!(serde_json::from_str::<TaskResult>(&torn).is_err());
        }
    }

    #[test]
    fn a_result_of_another_task_does_not_fit() {
        let key = |input| TaskKey { track: 1, decoder: None, channels: 1, channel: 0, input };
        let chunks =
            key(TaskInput::Speakers(speakers::WorkKey::Chunks { first: 0, count: 1, frames: 9 }));
        let result = |frames| TaskResult {
            output: TaskOutput::Speakers(speakers::WorkResult::Chunks { frames: vec![0; frames] }),
            seconds: 0.0,
        };
        assert!(chunks.fits(&result(589)));
        assert!(!chunks.fits(&result(588)));
        let of_window = self::result("a", [1; 5], &[]);
        assert!(!chunks.fits(&of_window));
        let pieces = vec![(0, 16_000)];
        let window = key(TaskInput::Window { pieces, language: None, word_times: true });
        assert!(window.fits(&of_window));
        assert!(!window.fits(&result(589)));
    }

    #[test]
    fn a_key_knows_how_much_audio_it_stands_for() {
        let key = |pieces| TaskKey {
            track: 1,
            decoder: None,
            channels: 1,
            channel: 0,
            input: TaskInput::Window { pieces, language: None, word_times: true },
        };
        let (key, hostile) = (
            key(vec![(0, 16_000), (32_000, 40_000)]),
            key(vec![(9, 3), (0, u64::MAX), (0, u64::MAX)]),
        );
        assert_eq!(key.audio_seconds(), 1.5);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<TaskKey>(&json).unwrap(), key);
        assert!(hostile.audio_seconds().is_finite());
    }
}
