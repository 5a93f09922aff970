//! The recognizer as a whole, with both layouts of files.

use tempfile::TempDir;

use super::arrays;
use crate::{
    fixtures,
    parakeet::Parakeet,
    recognizer::{Error, Precision, Recognition, RecognizeOptions, Recognizer},
};

fn directory(files: &[(&str, &str)]) -> TempDir {
    let read =
        |path: &str| std::fs::read(fixtures::path("parakeet").join(path)).expect("a fixture");
    let files: Vec<_> = files.iter().map(|(name, path)| (*name, read(path))).collect();
    fixtures::directory(&files)
}

fn open(layout: &str, precision: Precision) -> Parakeet {
    let directory = match layout {
        "onnx-asr" => directory(&[
            ("encoder-model.onnx", "onnx-asr/encoder-model.onnx"),
            ("decoder_joint-model.onnx", "onnx-asr/decoder_joint-model.onnx"),
            ("vocab.txt", "onnx-asr/vocab.txt"),
        ]),
        _ => directory(&[
            ("encoder.onnx", "onnx-asr/encoder-model.onnx"),
            ("decoder.onnx", "sherpa-onnx/decoder.onnx"),
            ("joiner.onnx", "sherpa-onnx/joiner.onnx"),
            ("tokens.txt", "onnx-asr/vocab.txt"),
        ]),
    };
    Parakeet::open(directory.path(), "tiny", Some(precision)).expect("opens")
}

fn clip(name: &str) -> Vec<f32> {
    let clips = arrays("clips.npz");
    clips[name].i16().into_iter().map(|sample| f32::from(sample) / 32768.0).collect()
}

fn recognize(model: &Parakeet, samples: &[f32], language: Option<&str>) -> Recognition {
    let options =
        RecognizeOptions { language: language.map(str::to_owned), ..RecognizeOptions::default() };
    model.recognize(samples, &options).expect("recognizes")
}

/// From samples to tokens, without the silence that the recognizer adds.
#[test]
fn samples_give_the_tokens_of_onnx_asr() {
    let reference = super::reference();
    for layout in ["onnx-asr", "sherpa-onnx"] {
        let model = open(layout, Precision::F32);
        for name in ["sentence", "aligned", "short", "long"] {
            let expected = &reference[name].f32;
            let found = model.tokens(&clip(name), &[]).expect("tokens");
            let ids: Vec<_> = found.iter().map(|token| token.id).collect();
            assert_eq!(ids, expected.tokens, "{layout}, {name}");
            let frames: Vec<_> = found.iter().map(|token| token.frame).collect();
            assert_eq!(frames, expected.frames, "{layout}, {name}");
            for (token, log_probability) in found.iter().zip(&expected.log_probabilities) {
                assert!((token.log_probability - log_probability).abs() <= 1e-3, "{name}");
            }
        }
    }
}

#[test]
fn both_layouts_recognize_the_same() {
    let models = ["onnx-asr", "sherpa-onnx"].map(|layout| open(layout, Precision::F32));
    for name in ["sentence", "aligned", "short", "long"] {
        let samples = clip(name);
        let [a, b] = models.each_ref().map(|model| recognize(model, &samples, None));
        assert_eq!(a, b, "{name}");
        let [hypothesis] = &a.hypotheses[..] else { panic!("{name}: {a:?}") };
        let seconds = samples.len() as f64 / 16_000.0;
        assert!(hypothesis.end <= seconds && hypothesis.log_probability < 0.0);
        assert_eq!(
            (hypothesis.start, hypothesis.end),
            (hypothesis.words[0].start, hypothesis.words.last().expect("words").end)
        );
        for pair in hypothesis.words.windows(2) {
            assert!(pair[0].start <= pair[0].end && pair[0].end <= pair[1].start, "{name}");
        }
    }
}

#[test]
fn the_recognizer_says_what_it_is() {
    let model = open("onnx-asr", Precision::F32);
    let description = model.description();
    assert_eq!((description.name.as_str(), description.family), ("tiny", "parakeet"));
    assert_eq!(description.precision, "f32");
    assert_eq!(description.languages, ["en"]);
    assert_ne!(description.digest, open("onnx-asr", Precision::Bf16).description().digest);
    // 330 frames of the encoder, less the silence that is added.
    assert!((model.max_seconds() - 25.4).abs() < 1e-9, "{}", model.max_seconds());
    assert!(model.punctuates(false) && !model.fixed_window() && !model.takes_hotwords());
    let options = RecognizeOptions { language: Some("de".to_owned()), ..Default::default() };
    let error = model.recognize(&clip("short"), &options).expect_err("not its language");
    assert!(matches!(error, Error::UnknownLanguage { .. }), "{error}");
}

#[test]
fn the_longest_segment_fits_the_encoder() {
    let model = open("onnx-asr", Precision::F32);
    let noise = |seconds: f64| -> Vec<f32> {
        let count = (seconds * 16_000.0) as usize;
        (0..count).map(|i| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.1).collect()
    };
    recognize(&model, &noise(model.max_seconds()), None);
    let error = model.recognize(&noise(30.0), &RecognizeOptions::default()).expect_err("too long");
    assert!(matches!(error, Error::Network(_)), "{error}");
}

#[test]
fn a_language_leaves_out_other_scripts() {
    let model = open("onnx-asr", Precision::F32);
    let text = |language| recognize(&model, &clip("sentence"), language).hypotheses.remove(0).text;
    let is_cyrillic = |c: char| ('\u{400}'..='\u{4FF}').contains(&c);
    assert!(text(None).contains(is_cyrillic));
    assert!(!text(Some("en")).contains(is_cyrillic));
}

#[test]
fn nothing_is_recognized_in_too_little() {
    let model = open("onnx-asr", Precision::F32);
    for length in [0, 1, 319] {
        assert_eq!(recognize(&model, &vec![0.1; length], None), Recognition::default(), "{length}");
    }
    recognize(&model, &[0.1; 320], None);
}
