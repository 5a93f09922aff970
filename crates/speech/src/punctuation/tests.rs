//! Against FunASR's own code, run over the small models of `tests/fixtures`.

use std::{fs, io::Read, path::Path, sync::Arc};

use flate2::read::GzDecoder;
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::*;
use crate::npz::Npz;

const CONFIG: &str =
    "model: CTTransformer\nmodel_conf:\n  punc_list: [<unk>, _, ',', 。, '?', 、]\n";
const OFFLINE: &str = "funasr/ct-punc";
const REAL_TIME: &str = "punctuation/real-time";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn inflated(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).expect("fixture")).read_to_end(&mut bytes).expect("gzip");
    bytes
}

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = fs::read_to_string(fixture("punctuation").join(name)).expect("fixture");
    serde_json::from_str(&text).expect("fixture")
}

fn directory(variant: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    for name in ["model.onnx", "model_quant.onnx"] {
        let model = inflated(&fixture(variant).join(format!("{name}.gz")));
        fs::write(directory.path().join(name), model).expect("write");
    }
    fs::write(directory.path().join("config.yaml"), CONFIG).expect("write");
    fs::copy(fixture("punctuation/tokens.json"), directory.path().join("tokens.json"))
        .expect("copy");
    directory
}

fn open(variant: &str, precision: impl Into<Option<Precision>>) -> Punctuator {
    Punctuator::open(directory(variant).path(), "ct-punc", precision.into()).expect("opens")
}

/// FunASR's text without the class that is never written, and without its habits at the ends of
/// its windows.
fn plain(text: &str) -> String {
    text.replace("<unk>", "").replace("。 ", "。").replace("？ ", "？").trim_start().to_owned()
}

fn mark(class: usize) -> Mark {
    use Mark::*;
    [Unknown, None, Comma, Period, Question, Enumeration][class]
}

#[test]
fn logits_are_onnx_runtimes() {
    let npz = Npz::open(&fixture("funasr/ct-punc/reference.npz"));
    // What is quantized attends in bfloat16 where the machine can.
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
fn complete_texts_get_funasrs_marks() {
    for precision in [Precision::F32, Precision::Int8] {
        let punctuator = open(OFFLINE, precision);
        let mut compared = 0;
        for case in cases::<Offline>("offline.json") {
            if case.precision != precision {
                continue;
            }
            let units: Vec<&str> = units::units(&case.text).collect();
            let marks = punctuator.punctuate(&units).expect("punctuates");
            let expected: Vec<Mark> = case.marks.iter().map(|&class| mark(class)).collect();
            assert_eq!(marks, expected, "{precision:?} {}", case.text);
            // Units of a word that is not all ASCII are no words of a text.
            if !case.text.contains('ï') {
                let text = join(&units, &marks, Style::Chinese);
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
fn english_style_is_that_of_funasrs_pytorch_code() {
    for case in cases::<Torch>("torch.json") {
        let words: Vec<&str> = units::units(&case.text).collect();
        let mut marks: Vec<Mark> = case.punc.iter().map(|&class| mark(class)).collect();
        let last = marks.last_mut().expect("words");
        if !last.ends_sentence() {
            *last = Mark::Period;
        }
        // There, an unwritten mark after a Chinese word is taken for an English letter.
        let out = match case.out.strip_suffix("<unk>.") {
            Some(out) if !words[words.len() - 1].is_ascii() => format!("{out}。"),
            _ => case.out.clone(),
        };
        assert_eq!(join(&words, &marks, Style::English), plain(&out), "{}", case.text);
    }
}

#[derive(Deserialize)]
struct LiveCase {
    #[serde(deserialize_with = "crate::recognizer::deserialize_precision")]
    precision: Precision,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    text: String,
    /// Symbols; from the second step on, the first is that after the last word before.
    marks: Vec<String>,
    /// Units kept for the next step.
    held: usize,
}

#[test]
fn growing_texts_get_funasrs_marks() {
    for precision in [Precision::F32, Precision::Int8] {
        let punctuator = Arc::new(open(REAL_TIME, precision));
        assert!(punctuator.is_real_time());
        for case in cases::<LiveCase>("live.json") {
            if case.precision != precision {
                continue;
            }
            let mut live = punctuator.live();
            for (index, step) in case.steps.iter().enumerate() {
                let words: Vec<&str> = step.text.split(' ').collect();
                let update = live.push(&words).expect("punctuates");
                let mut marks = update.marks;
                if index > 0 {
                    marks.insert(0, update.before);
                }
                let mut expected: Vec<Mark> =
                    step.marks.iter().filter_map(|symbol| Mark::from_symbol(symbol)).collect();
                // FunASR takes back the last mark, but not one that is not written.
                expected.pop();
                assert_eq!(marks.pop(), Some(Mark::None));
                assert_eq!(marks, expected, "{precision:?} step {index} of {}", case.steps.len());
                assert_eq!(live.held.len(), step.held);
            }
            assert!(live.finish().ends_sentence());
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
fn masks_hide_what_came_later() {
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
fn words_of_any_kind_get_a_mark_each() {
    let punctuator = Arc::new(open(OFFLINE, None));
    assert_eq!(punctuator.precision(), "int8");
    assert_eq!(punctuator.punctuate(&[]).expect("nothing"), []);
    let words = ["一丁ok", "", "the", "\u{3000}", "😀"];
    let marks = punctuator.punctuate(&words).expect("punctuates");
    let units = punctuator.punctuate(&["一", "丁", "ok", "the", "😀"]).expect("punctuates");
    assert_eq!(marks, [units[2], Mark::None, units[3], Mark::None, units[4]]);
    let long = "x".repeat(100_000);
    assert_eq!(punctuator.punctuate(&[&long]).expect("long").len(), 1);

    let mut live = punctuator.live();
    let nothing = Update { before: Mark::None, marks: vec![Mark::None] };
    assert_eq!(live.push(&[""]).expect("nothing"), nothing);
    assert_eq!(live.finish(), Mark::None);
}

#[test]
fn a_directory_that_does_not_fit_is_refused() {
    let directory = directory(OFFLINE);
    let path = directory.path();
    let refused = |cause: &str| {
        let error = Punctuator::open(path, "ct-punc", Some(Precision::F32)).err().expect(cause);
        let Error::Model { message, .. } = &error else { panic!("{error}") };
        assert!(message.contains(cause), "{error}");
    };
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("write");
    let tokens = fs::read_to_string(path.join("tokens.json")).expect("tokens");
    write("tokens.json", &tokens.replacen("\"一\", ", "", 1));
    refused("holds 99 tokens, but the network tells 100 apart");
    write("tokens.json", &tokens.replacen("\"一\", ", "\"一\", \"x\", ", 1));
    refused("holds 101 tokens, but the network tells 100 apart");
    write("tokens.json", &tokens);
    write("config.yaml", &CONFIG.replace(", 、", ""));
    refused("the list of marks");
    write("config.yaml", CONFIG);
    let model = fs::read(path.join("model.onnx")).expect("model");
    fs::write(path.join("model.onnx"), &model[..model.len() / 2]).expect("write");
    refused("is no ONNX file");
    // The name of a weight, and the 24 bytes of its values.
    let name = b"decoder.bias\x4a\x18";
    let at = model.windows(name.len()).position(|bytes| bytes == name).expect("a bias");
    let mut broken = model.clone();
    broken[at + name.len() + 8..][..4].fill(0xFF);
    fs::write(path.join("model.onnx"), broken).expect("write");
    refused("a weight of `decoder.bias` is no number");
    fs::write(path.join("model.onnx"), inflated(&fixture("funasr/sensevoice/model.onnx.gz")))
        .expect("write");
    refused("does not begin with a table of words");
    fs::write(path.join("model.onnx"), model).expect("write");
    Punctuator::open(path, "ct-punc", Some(Precision::F32)).expect("whole again");
}
