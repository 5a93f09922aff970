//! Punctuation against FunASR's own code, with the small models of `tests/fixtures`.

use std::{fs, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::*;
use crate::{fixtures, npz::Npz};
use errors::Chain;

const CONFIG: &str =
    "model: CTTransformer\nmodel_conf:\n  punc_list: [<unk>, _, ',', 。, '?', 、]\n";
const OFFLINE: &str = "funasr/ct-punc";
const REAL_TIME: &str = "punctuation/real-time";

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    fixtures::json(&format!("punctuation/{name}"))
}

/// Makes a model directory in FunASR's layout.
fn directory(variant: &str) -> TempDir {
    let model = |name: &str| fixtures::gunzip(&format!("{variant}/{name}.gz"));
    let tokens = fs::read(fixtures::path("punctuation/tokens.json")).expect("tokens");
    fixtures::directory(&[
        ("model.onnx", model("model.onnx")),
        ("model_quant.onnx", model("model_quant.onnx")),
        ("config.yaml", CONFIG.into()),
        ("tokens.json", tokens),
    ])
}

fn open(variant: &str, precision: impl Into<Option<Precision>>) -> Punctuator {
    Punctuator::open(directory(variant).path(), "ct-punc", precision.into()).expect("opens")
}

/// Removes from FunASR's text the class that is not written, and the spaces at the ends of windows.
fn plain(text: &str) -> String {
    text.replace("<unk>", "").replace("。 ", "。").replace("？ ", "？").trim_start().to_owned()
}

fn mark(class: usize) -> PunctuationMark {
    use PunctuationMark::*;
    [Unknown, None, Comma, Period, Question, Enumeration][class]
}

#[test]
fn logits_match_onnx_runtime() {
    let npz = Npz::open(&fixtures::path("funasr/ct-punc/reference.npz"));
    // Quantized networks compute attention in bfloat16 where the CPU supports it.
    for (precision, name, tolerance) in
        [(Precision::F32, "f32", 1e-4), (Precision::Int8, "int8", 2e-2)]
    {
        let punctuator = open(OFFLINE, precision);
        for length in [1, 20, 120] {
            let ids = npz[format!("{length}/in/inputs").as_str()].i32();
            let logits = punctuator.network.logits(&ids, 0).expect("runs");
            let expected = npz[format!("{length}/{name}/logits").as_str()].f32();
            assert_eq!(logits.len(), expected.len());
            for (logit, expected) in logits.iter().zip(&expected) {
                let difference = (logit - expected).abs();
                assert!(difference < tolerance, "{name} {length}: {logit}, {expected}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Offline {
    #[serde(deserialize_with = "crate::recognizer::deserialize_precision")]
    precision: Precision,
    text: String,
    out: String,
    marks: Vec<usize>,
}

#[test]
fn marks_of_complete_texts_match_funasr() {
    for precision in [Precision::F32, Precision::Int8] {
        let punctuator = open(OFFLINE, precision);
        let mut compared = 0;
        for case in cases::<Offline>("offline.json") {
            if case.precision != precision {
                continue;
            }
            let units: Vec<&str> = units::units(&case.text).collect();
            let marks = punctuator.punctuate(&units).expect("punctuates");
            let expected: Vec<PunctuationMark> =
                case.marks.iter().map(|&class| mark(class)).collect();
            assert_eq!(marks, expected, "{precision:?} {}", case.text);
            // The units of a word with a non-ASCII letter are not words of the text.
            if !case.text.contains('ï') {
                let text = join(&units, &marks, PunctuationStyle::Chinese);
                assert_eq!(plain(&text), plain(&case.out));
            }
            compared += 1;
        }
        assert_eq!(compared, 11);
    }
}

#[derive(Deserialize)]
struct Torch {
    text: String,
    out: String,
    punc: Vec<usize>,
}

#[test]
fn english_style_matches_funasr_pytorch() {
    for case in cases::<Torch>("torch.json") {
        let words: Vec<&str> = units::units(&case.text).collect();
        let mut marks: Vec<PunctuationMark> = case.punc.iter().map(|&class| mark(class)).collect();
        let last = marks.last_mut().expect("words");
        if !last.ends_sentence() {
            *last = PunctuationMark::Period;
        }
        // FunASR takes an unwritten mark after a Chinese word for an English letter.
        let out = match case.out.strip_suffix("<unk>.") {
            Some(out) if !words[words.len() - 1].is_ascii() => format!("{out}。"),
            _ => case.out.clone(),
        };
        assert_eq!(join(&words, &marks, PunctuationStyle::English), plain(&out), "{}", case.text);
    }
}

#[derive(Deserialize)]
struct StreamingCase {
    #[serde(deserialize_with = "crate::recognizer::deserialize_precision")]
    precision: Precision,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    text: String,
    /// Symbols. From the second step on, the first is the mark after the last word of the step
    /// before.
    marks: Vec<String>,
    /// Number of units kept for the next step.
    held: usize,
}

#[test]
fn marks_of_growing_texts_match_funasr() {
    for precision in [Precision::F32, Precision::Int8] {
        let punctuator = Arc::new(open(REAL_TIME, precision));
        assert!(punctuator.is_real_time());
        for case in cases::<StreamingCase>("live.json") {
            if case.precision != precision {
                continue;
            }
            let mut stream = punctuator.stream();
            for (index, step) in case.steps.iter().enumerate() {
                let words: Vec<&str> = step.text.split(' ').collect();
                let update = stream.push(&words).expect("punctuates");
                let mut marks = update.marks;
                if index > 0 {
                    marks.insert(0, update.before);
                }
                let mut expected: Vec<PunctuationMark> = step
                    .marks
                    .iter()
                    .filter_map(|symbol| PunctuationMark::from_symbol(symbol))
                    .collect();
                // FunASR clears the last mark, unless it is the class that is not written.
                expected.pop();
                assert_eq!(marks.pop(), Some(PunctuationMark::None));
                assert_eq!(marks, expected, "{precision:?} step {index} of {}", case.steps.len());
                assert_eq!(stream.held.len(), step.held);
            }
            assert!(stream.finish().ends_sentence());
        }
    }
}

#[derive(Deserialize)]
struct Logits {
    #[serde(deserialize_with = "crate::recognizer::deserialize_precision")]
    precision: Precision,
    length: i32,
    held: usize,
    logits: Vec<Vec<f32>>,
}

#[test]
fn masks_hide_later_units() {
    for precision in [Precision::F32, Precision::Int8] {
        let punctuator = open(REAL_TIME, precision);
        for case in cases::<Logits>("logits.json") {
            if case.precision != precision {
                continue;
            }
            let ids: Vec<i32> = (1..=case.length).collect();
            let logits = punctuator.network.logits(&ids, case.held).expect("runs");
            let expected = case.logits.concat();
            assert_eq!(logits.len(), expected.len());
            for (logit, expected) in logits.iter().zip(&expected) {
                assert!((logit - expected).abs() < 1e-4, "{logit} is not {expected}");
            }
        }
    }
}

#[test]
fn every_word_gets_one_mark() {
    let punctuator = Arc::new(open(OFFLINE, None));
    assert_eq!(punctuator.precision(), "int8");
    assert_eq!(punctuator.punctuate(&[]).expect("nothing"), []);
    let words = ["一丁ok", "", "the", "\u{3000}", "😀"];
    let marks = punctuator.punctuate(&words).expect("punctuates");
    let units = punctuator.punctuate(&["一", "丁", "ok", "the", "😀"]).expect("punctuates");
    assert_eq!(marks, [units[2], PunctuationMark::None, units[3], PunctuationMark::None, units[4]]);
    let long = "x".repeat(100_000);
    assert_eq!(punctuator.punctuate(&[&long]).expect("long").len(), 1);

    let mut stream = punctuator.stream();
    let nothing =
        PunctuationUpdate { before: PunctuationMark::None, marks: vec![PunctuationMark::None] };
    assert_eq!(stream.push(&[""]).expect("nothing"), nothing);
    assert_eq!(stream.finish(), PunctuationMark::None);
}

#[test]
fn refuses_directories_that_do_not_fit() {
    let directory = directory(OFFLINE);
    let path = directory.path();
    let refused = |cause: &str| {
        let error = Punctuator::open(path, "ct-punc", Some(Precision::F32)).err().expect(cause);
        assert!(matches!(error, Error::Model { .. }), "{error}");
        let message = Chain(&error).to_string();
        assert!(message.contains(cause), "{message}");
    };
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("write");
    let tokens = fs::read_to_string(path.join("tokens.json")).expect("tokens");
    write("tokens.json", &tokens.replacen("\"一\", ", "", 1));
    refused("holds 99 tokens, but the network has 100 classes");
    write("tokens.json", &tokens.replacen("\"一\", ", "\"一\", \"x\", ", 1));
    refused("holds 101 tokens, but the network has 100 classes");
    write("tokens.json", &tokens);
    write("config.yaml", &CONFIG.replace(", 、", ""));
    refused("the list of punctuation");
    write("config.yaml", CONFIG);
    let model = fs::read(path.join("model.onnx")).expect("model");
    fs::write(path.join("model.onnx"), &model[..model.len() / 2]).expect("write");
    refused("is not a usable ONNX model");
    // The name of a weight precedes the 24 bytes of its values.
    let name = b"decoder.bias\x4a\x18";
    let at = model.windows(name.len()).position(|bytes| bytes == name).expect("a bias");
    let mut broken = model.clone();
    broken[at + name.len() + 8..][..4].fill(0xFF);
    fs::write(path.join("model.onnx"), broken).expect("write");
    refused("a weight of `decoder.bias` is NaN");
    fs::write(path.join("model.onnx"), fixtures::gunzip("funasr/sensevoice/model.onnx.gz"))
        .expect("write");
    refused("does not begin with an embedding table");
    fs::write(path.join("model.onnx"), model).expect("write");
    Punctuator::open(path, "ct-punc", Some(Precision::F32)).expect("whole again");
}
