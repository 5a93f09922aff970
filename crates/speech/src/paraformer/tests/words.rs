//! A trained model's words in recordings, against those of `funasr_onnx`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::clip;
use crate::{
    fixtures,
    paraformer::Paraformer,
    recognizer::{Error, Recognition, RecognizeOptions, Recognizer},
};

/// Output of `funasr_onnx`.
#[derive(Deserialize)]
struct Reference {
    text: String,
    /// Token ids of all rows.
    token_ids: Vec<u32>,
    log_probabilities: Vec<f32>,
    #[serde(default)]
    words: Vec<(String, f64, f64)>,
}

static EXPECTED: LazyLock<serde_json::Value> =
    LazyLock::new(|| fixtures::json("words/expected.json"));

static WORDS: LazyLock<Paraformer> =
    LazyLock::new(|| Paraformer::open(&fixtures::path("words/model"), "words", None).unwrap());

fn assert_agrees(recognition: &Recognition, expected: &serde_json::Value) {
    let expected: Reference = serde_json::from_value(expected.clone()).unwrap();
    let [hypothesis] = recognition.hypotheses.as_slice() else { panic!("{recognition:?}") };
    assert_eq!(hypothesis.text, expected.text);
    let (&end, ids) = expected.token_ids.split_last().unwrap();
    assert_eq!((end, hypothesis.tokens.as_slice()), (2, ids));
    let words = &hypothesis.words;
    assert_eq!(words.len(), ids.len(), "every token is a word");
    for (word, expected) in words.iter().zip(&expected.log_probabilities) {
        let difference = (word.log_probability - expected).abs();
        assert!(difference < 0.02 + 0.2 * expected.abs(), "{word:?}: {expected}");
    }
    assert!(words.iter().all(|word| word.start < word.end), "{words:?}");
    assert!(words.is_sorted_by(|a, b| a.end <= b.start), "{words:?}");
}

#[test]
fn recognizes_words() {
    for name in ["01_phrase", "03_phrase", "05_phrase", "09_glued", "12_glued"] {
        let (samples, expected) = (clip(name), &EXPECTED[name]);
        assert_agrees(&WORDS.recognize(&samples, &RecognizeOptions::default()).unwrap(), expected);
    }
}

#[test]
fn recognizes_the_segments_of_a_long_recording() {
    let (samples, expected) = (clip("long"), &EXPECTED["long"]);
    let segments = expected["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 10);
    for segment in segments {
        let [start, end]: [usize; 2] =
            serde_json::from_value(segment["milliseconds"].clone()).unwrap();
        let samples = &samples[start * 16..(end * 16).min(samples.len())];
        assert_agrees(&WORDS.recognize(samples, &RecognizeOptions::default()).unwrap(), segment);
    }
}

/// The recordings are words joined with silences between them. Each word is found at its position
/// within the accuracy of the weights, which fire somewhere in its first half.
#[test]
fn locates_the_words() {
    for name in ["09_glued", "12_glued"] {
        let (samples, expected) = (clip(name), &EXPECTED[name]);
        let found = WORDS.recognize(&samples, &RecognizeOptions::default()).unwrap();
        let expected: Reference = serde_json::from_value(expected.clone()).unwrap();
        for (word, (text, start, end)) in found.hypotheses[0].words.iter().zip(&expected.words) {
            assert_eq!(&word.text, text);
            assert!((word.start - start).abs() < 0.2, "{word:?}: {start}");
            assert!(word.end > (start + end) / 2.0, "{word:?}: {start} to {end}");
        }
    }
}

#[test]
fn accepts_short_and_unusual_audio() {
    let options = RecognizeOptions::default();
    let noise: Vec<f32> = (0..32_000).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    for (samples, max_hypotheses) in [
        (vec![], 0),
        (vec![0.5], 0),
        (vec![0.1; 399], 0),
        (vec![0.0; 400], 0),
        (vec![0.0; 16_000], 1),
        (noise, 1),
        (vec![f32::NAN; 4000], 1),
        (vec![f32::INFINITY; 4000], 1),
        (vec![1e30; 4000], 1),
    ] {
        let found = WORDS.recognize(&samples, &options).unwrap();
        assert!(found.hypotheses.len() <= max_hypotheses, "{} samples: {found:?}", samples.len());
        let seconds = samples.len() as f64 / 16_000.0;
        for hypothesis in found.hypotheses {
            assert!(hypothesis.end <= seconds && hypothesis.log_probability <= 0.0);
        }
    }
}

#[test]
fn recognizes_a_minute() {
    let samples = clip("long");
    let minute: Vec<f32> = samples.iter().copied().cycle().take(60 * 16_000).collect();
    let found = WORDS.recognize(&minute, &RecognizeOptions::default()).unwrap();
    assert!(found.hypotheses[0].words.len() > 60);
    assert_eq!(WORDS.max_seconds(), 60.0);
}

#[test]
fn describes_its_language_and_precision() {
    let description = WORDS.description();
    assert_eq!(
        (description.precision, description.languages.as_slice()),
        ("int8", &["en".to_owned()][..])
    );
    let language = |code: &str| RecognizeOptions {
        language: Some(code.into()),
        ..RecognizeOptions::default()
    };
    assert!(WORDS.recognize(&[], &language("en")).is_ok());
    assert!(matches!(WORDS.recognize(&[], &language("zh")), Err(Error::UnknownLanguage { .. })));
}
